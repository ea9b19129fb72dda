//! Documents to objects.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::source::Credentials;

#[test]
fn the_short_form_and_the_manifest_say_the_same() {
    let short = made(&json!({
        "id": "gate", "type": "rtsp", "uri": "rtsp://camera/1",
        "detection": {"fps": 5, "confidence": 0.5}, "recovery": {"stallTimeout": "2s"}, "loop": null,
    }));
    let manifest = made(&json!({
        "apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource", "metadata": {"name": "gate"},
        "spec": {
            "uri": "rtsp://camera/1", "modelRef": {"name": "starter"},
            "detection": {"fps": 5, "confidence": 0.5}, "recovery": {"stallTimeout": "2s"},
        },
    }));
    assert_eq!(short, manifest);
    assert_eq!(short.spec.detection.fps, Some(5));
    assert_eq!(&*short.key.namespace, "default");
}

#[test]
fn a_model_may_be_named_in_a_word_or_left_out() {
    assert_eq!(made(&json!({"id": "a", "uri": "test://smpte"})).spec.model_ref.name, "starter");
    assert_eq!(made(&json!({"id": "a", "uri": "test://smpte", "model": "cars"})).spec.model_ref.name, "cars");
    let both = json!({"id": "a", "uri": "test://smpte", "model": "cars", "modelRef": {"name": "cars"}});
    assert_eq!(wrong(&both), ["model stands beside modelRef; keep one of the two"]);
}

#[test]
fn every_fault_names_its_field_as_it_was_written() {
    for (body, expected) in [
        (json!([]), "the document is not a JSON object"),
        (json!({"uri": "test://smpte"}), "id is missing"),
        (json!({"id": "Gate", "uri": "test://smpte"}), "id is not written as it must be; write lower-case"),
        (json!({"id": "a"}), "uri is missing"),
        (
            json!({"id": "a", "uri": "test://smpte", "detecton": {}}),
            "detecton is not a known field; did you mean detection?",
        ),
        (
            json!({"id": "a", "uri": "test://smpte", "detection": {"confidence": 2}}),
            "detection.confidence is 2; write a number from 0 to 1",
        ),
        (
            json!({"id": "a", "uri": "test://smpte", "detection": {"fps": 5, "interval": "5s"}}),
            "detection fps and interval exclude",
        ),
        (json!({"id": "a", "uri": "rtsp://u:p@camera/1"}), "uri must not hold a user name or password"),
        (json!({"id": "a", "uri": "whep://camera/1"}), "uri whep: is known as a kind of input, but not built in"),
        (json!({"id": "a", "uri": "file:clip.mp4"}), "uri is a relative path"),
        (json!({"id": "a", "uri": 5}), "uri is a number, expected a text"),
        (
            json!({"id": "a", "type": "webrtc", "uri": "whep://camera/1"}),
            "type is webrtc, and this pod has no input for it yet",
        ),
        (json!({"id": "a", "type": "rtsp", "uri": "http://camera/1"}), "type is rtsp, but the URI is of another kind"),
        (
            json!({"id": "a", "type": "rtps", "uri": "rtsp://camera/1"}),
            "type is not a type of source; did you mean rtsp?",
        ),
        (
            json!({"id": "a", "uri": "rtsp://c/1", "credentialsSecretRef": {"name": "x"}}),
            "credentialsSecretRef names a Secret",
        ),
        (json!({"id": "a", "uri": "rtsp://c/1", "credentials": {"username": "u"}}), "credentials.password is missing"),
        (
            json!({"id": "a", "uri": "rtsp://c/1", "credentials": {"hunter2": "u"}}),
            "credentials has a field that is not known",
        ),
        (
            json!({"id": "a", "uri": "test://smpte", "credentials": {"username": "u", "password": "p"}}),
            "credentials is a login for an input without a server",
        ),
        (
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}),
            "kind is not what is made here; write VideoSource here",
        ),
        (json!({"kind": "VideoSource", "metadata": {"name": "a"}, "spec": {}}), "apiVersion is missing"),
        (
            json!({"kind": "VideoSource", "apiVersion": "vision-operator.dev/v1alpha1", "metadata": {"name": "a"}, "spec": {"detection": {"fps": 0}}}),
            "spec.detection.fps is 0",
        ),
        (
            json!({"kind": "VideoSource", "apiVersion": "vision-operator.dev/v1alpha1", "metadata": {"name": "a"}}),
            "spec is missing",
        ),
    ] {
        let found = wrong(&body);
        assert!(found.iter().any(|error| error.contains(expected)), "{body}: {found:?}");
        assert!(!found.concat().contains("hunter2") && !found.concat().contains("u:p"), "{found:?}");
    }
}

#[test]
fn a_pointer_leads_to_the_field() {
    for (field, pointer) in
        [("", ""), ("id", "/id"), ("spec.detection.classes[3]", "/spec/detection/classes/3"), ("a/b~c", "/a~1b~0c")]
    {
        assert_eq!(FieldError::new(field, "", "").pointer(), pointer);
    }
}

#[test]
fn a_patch_changes_what_it_says_and_nothing_else() {
    let before = made(&json!({
        "id": "gate", "uri": "rtsp://camera/1?channel=2", "detection": {"fps": 5, "confidence": 0.5},
        "credentials": {"username": "operator", "password": "hunter2"},
    }));
    let after = replaced_source(&before, &json!({"detection": {"fps": null, "interval": "5s"}}), true).unwrap();
    assert_eq!(after.spec.detection.fps, None);
    assert_eq!(after.spec.detection.confidence, Some(0.5));
    assert_eq!((&after.spec.uri, &after.credentials), (&before.spec.uri, &before.credentials));
    let as_manifest = replaced_source(&before, &json!({"spec": {"enabled": false}}), true).unwrap();
    assert!(!as_manifest.spec.enabled);
    assert_eq!(replaced_source(&before, &json!({}), true).unwrap(), before);
    let model = replaced_source(&before, &json!({"model": "cars"}), true).unwrap();
    assert_eq!(model.spec.model_ref.name, "cars");
    let errors = replaced_source(&before, &json!({"id": "yard"}), true).unwrap_err();
    assert_eq!(errors[0].field, "id");
    let errors = replaced_source(&before, &json!({"uri": null}), true).unwrap_err();
    assert_eq!(errors[0].field, "uri");
}

#[test]
fn what_is_not_shown_outlives_a_replacement_by_what_is() {
    let before = made(&json!({
        "id": "gate", "uri": "rtsp://camera/1?token=hunter2", "detection": {"fps": 5},
        "credentials": {"username": "operator", "password": "hunter2"},
    }));
    let after = replaced_source(&before, &json!({"uri": "rtsp://camera/1"}), false).unwrap();
    assert_eq!(after.spec.uri, before.spec.uri);
    assert_eq!(after.spec.detection.fps, None);
    assert_eq!(after.credentials, before.credentials);
    let without = replaced_source(&before, &json!({"uri": "rtsp://camera/2", "credentials": null}), false).unwrap();
    assert_eq!((without.spec.uri.as_str(), without.credentials), ("rtsp://camera/2", None));
}

#[test]
fn a_login_does_not_follow_to_another_server() {
    let before = made(&json!({
        "id": "gate", "uri": "rtsp://camera/1", "credentials": {"username": "operator", "password": "hunter2"},
    }));
    for uri in ["rtsp://thief/1", "rtsp://camera:555/1", "http://camera/1"] {
        for patch in [false, true] {
            let errors = replaced_source(&before, &json!({"uri": uri}), patch).unwrap_err();
            assert_eq!(errors[0].field, "credentials", "{uri}");
        }
    }
    for fallback in ["rtsp://thief/1", "srt://thief:9000"] {
        let errors = replaced_source(&before, &json!({"fallbackURIs": [fallback]}), true).unwrap_err();
        assert_eq!(errors[0].field, "credentials", "{fallback}");
    }
    let same = replaced_source(&before, &json!({"fallbackURIs": ["rtsp://camera/2"]}), true).unwrap();
    assert_eq!((same.credentials, same.spec.fallback_uris.len()), (before.credentials.clone(), 1));
    let login = json!({"username": "other", "password": "new"});
    let moved = replaced_source(&before, &json!({"uri": "rtsp://new/1", "credentials": login}), true).unwrap();
    assert_eq!(moved.credentials, Some(Credentials { username: "other".into(), password: "new".into() }));
}

#[test]
fn models_are_read_as_strictly() {
    let model =
        model_from(&json!({"id": "cars", "source": {"file": "/models/cars.onnx"}, "layout": "YOLOv8"})).unwrap();
    assert_eq!(&*model.key.name, "cars");
    for (body, field) in [
        (json!({"id": "cars", "source": {"file": "cars.onnx"}}), "source.file"),
        (json!({"id": "cars", "source": {"url": "https://host/cars.onnx"}}), "source"),
        (json!({"id": "cars", "source": {"builtin": "starter"}, "thresholds": {"iou": -1}}), "thresholds.iou"),
        (json!({"id": "cars"}), "source"),
        (json!({"id": "cars", "source": {"builtin": "starter"}, "credentials": {}}), "credentials"),
    ] {
        assert_eq!(model_from(&body).unwrap_err()[0].field, field, "{body}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z:/.@]{0,12}|rtsp://camera/1|starter".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "id|uri|type|model|modelRef|name|detection|fps|spec|metadata|kind|apiVersion|credentials|enabled|recovery",
        "[a-z]{0,4}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_an_object_or_told_why_not(body in any_json()) {
        match source_from(&body, starter) {
            Ok((source, _)) => prop_assert!(source.spec.violations().is_empty()),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
        drop(model_from(&body));
    }

    #[test]
    fn any_patch_leaves_a_good_source_or_is_refused(patch in any_json()) {
        let before = made(&json!({"id": "gate", "uri": "rtsp://camera/1"}));
        if let Ok(after) = replaced_source(&before, &patch, true) {
            prop_assert!(after.spec.violations().is_empty());
            prop_assert_eq!(after.key, before.key);
        }
    }
}
