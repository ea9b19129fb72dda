#![allow(clippy::unwrap_used)]

use jiff::{Timestamp, ToSpan};
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};

use super::is_holder;

#[test]
fn a_lease_counts_for_its_holder_until_it_runs_out() {
    let renewed = Timestamp::from_second(1_000_000).unwrap();
    let lease = LeaseSpec {
        holder_identity: Some("operator-1".to_owned()),
        lease_duration_seconds: Some(6),
        renew_time: Some(MicroTime(renewed)),
        ..LeaseSpec::default()
    };
    assert!(is_holder(&lease, "operator-1", renewed + 5.seconds()));
    assert!(!is_holder(&lease, "operator-2", renewed + 5.seconds()));
    assert!(is_holder(&lease, "operator-1", renewed + 5_999.milliseconds()));
    assert!(!is_holder(&lease, "operator-1", renewed + 6.seconds()));
    assert!(!is_holder(&LeaseSpec::default(), "operator-1", renewed));
}
