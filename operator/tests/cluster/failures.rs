//! Pods, the operator and the API server fail.

use std::time::Duration;

use fake_fleet::{Behaviour, Gate};
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{Scene, eventually, plane, program};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_hangs_loses_its_streams_and_nobody_else_moves() {
    let Some(scene) = Scene::set("hanging").await else { return };
    let _tell = scene.tell();
    let before = scene.add_fleet().await;
    let lost = before[0].1.clone().unwrap();
    scene.fleet.behave(&lost, Behaviour::Hangs);
    eventually("its streams are elsewhere", async || {
        let now = scene.bindings().await;
        now.iter().all(|(_, bound)| bound.as_ref().is_some_and(|pod| *pod != lost)).then_some(())
    })
    .await;
    let after = scene.all_stream().await;
    for (name, bound) in &before {
        if bound.as_ref() != Some(&lost) {
            assert!(after.contains(&(name.clone(), bound.clone())), "{name} had no reason to move");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_by_force_is_replaced() {
    let Some(scene) = Scene::set("deleted").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    scene.add_source("gate", json!({})).await;
    let pod = scene.all_stream().await[0].1.clone().unwrap();
    let before = scene.status("gate").await.epoch;
    scene.delete_pod(&pod, &DeleteParams::default().grace_period(0)).await;
    eventually("it runs on a new pod", async || {
        let status = scene.status("gate").await;
        (status.assignment?.pod != pod && status.epoch > before).then_some(())
    })
    .await;
    scene.all_stream().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_goes_on_where_it_ended() {
    let Some(mut scene) = Scene::set("killed").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    for index in 0..4 {
        scene.add_source(&format!("camera-{index}"), json!({})).await;
    }
    let before = scene.all_stream().await;
    let pods = scene.pods().list(&ListParams::default()).await.unwrap().items.len();
    scene.operator.kill();
    scene.add_source("new", json!({})).await;
    scene.operator = scene.stage.operator(program(), "operator-2", &[]).unwrap();
    let _tell = scene.tell();
    let after = scene.all_stream().await;
    assert!(before.iter().all(|bound| after.contains(bound)), "{before:?} {after:?}");
    assert_eq!(scene.pods().list(&ListParams::default()).await.unwrap().items.len(), pods);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_replica_stands_by_and_takes_over_at_once_when_the_first_ends() {
    let Some(mut scene) = Scene::set("replicas").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    scene.add_source("gate", json!({})).await;
    scene.all_stream().await;
    let second = scene.stage.operator(program(), "operator-2", &[]).unwrap();
    eventually("the second one is up", async || second.log().contains("the operator starts").then_some(())).await;
    assert_eq!(scene.operator.terminate(), Some(0), "{}", scene.operator.log());
    assert!(!second.log().contains("decides now"));
    scene.add_source("new", json!({})).await;
    scene.all_stream().await;
    assert!(second.log().contains("this replica decides now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_and_a_pod_that_are_lost_together_cost_little_more_than_the_pod() {
    let Some(mut scene) = Scene::set("both").await else { return };
    let _tell = scene.tell();
    let before = scene.add_fleet().await;
    let second = scene.stage.operator(program(), "operator-2", &[]).unwrap();
    let _tell_second = crate::scene::Tell(second.log_file().to_owned());
    let asks = async || {
        let metrics = metrics(&second.address()?).await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix("vision_operator_poll_seconds_count "))?;
        (count.parse::<u64>().ok()? > 4).then_some(())
    };
    eventually("the one that stands by asks the pods too", asks).await;
    let lost = before[0].1.clone().unwrap();
    scene.operator.kill();
    scene.fleet.behave(&lost, Behaviour::Hangs);
    let began = tokio::time::Instant::now();
    let after = eventually("its streams are elsewhere", async || {
        let now = scene.bindings().await;
        now.iter().all(|(_, bound)| bound.as_ref().is_some_and(|pod| *pod != lost)).then_some(now)
    })
    .await;
    println!("bound elsewhere after {:.2?}", began.elapsed());
    for (before, after) in before.iter().zip(after) {
        assert!(before.1.as_ref() == Some(&lost) || *before == after, "{before:?} had no reason to move");
    }
}

/// What an operator serves of itself.
async fn metrics(address: &str) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_api_server_moves_nothing() {
    let Some(plane) = tokio::task::spawn_blocking(plane).await.unwrap() else { return };
    let gate = Gate::open(plane.address().unwrap()).await.unwrap();
    let Some(mut scene) = Scene::set_behind("outage", Some(gate.address())).await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    for index in 0..4 {
        scene.add_source(&format!("camera-{index}"), json!({})).await;
    }
    let before = scene.all_stream().await;
    gate.shut();
    // Longer than the Lease, so that the operator knows that it does not decide any more.
    eventually("the operator stands by", async || {
        scene.operator.log().contains("this replica stands by").then_some(())
    })
    .await;
    scene.add_source("new", json!({})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.reopen();
    let after = scene.all_stream().await;
    assert!(before.iter().all(|bound| after.contains(bound)), "{before:?} {after:?}");
    assert_eq!(scene.operator.terminate(), Some(0));
}
