#![allow(clippy::unwrap_used)]

use super::*;

fn read(text: &str, version: &str) -> Result<Read, String> {
    parse(text, Path::new("/models"), version.parse().unwrap()).map_err(|error| error.to_string())
}

#[test]
fn values_and_defaults_are_those_of_the_real_element() {
    let text = "[property]\ngie-unique-id=1\nonnx-file=yolo.onnx\nnum-detected-classes=2\nnet-scale-factor=0.5\n\
                infer-dims=3;256;416\ncluster-mode=2\n[class-attrs-all]\ntopk=300\n\
                [class-attrs-1]\npre-cluster-threshold=0.4\n";
    let Read { config, complaints } = read(text, "7.1").unwrap();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(config.onnx_file, Some(PathBuf::from("/models/yolo.onnx")));
    assert_eq!(config.infer_dims, Some([3, 256, 416]));
    assert_eq!((config.batch_size, config.scaling_filter, config.cluster), (1, 6, Cluster::Nms));
    assert_eq!(config.classes[0], Class { top_k: 300, ..Class::default() });
    assert_eq!(config.classes[1], Class { top_k: 300, before: 0.4, ..Class::default() });
}

#[test]
fn what_the_real_element_refuses_is_refused() {
    for (text, words) in [
        ("", "Could not find group property"),
        ("[properties]\n", "Could not find group property"),
        ("[property]\ngie-unique-id=0\n", "gie-unique-id should be > 0"),
        ("[property]\nbatch-size=0\n", "batch-size should be in the range"),
        ("[property]\nbatch-size=x\n", "Error while parsing config file"),
        ("[property]\ninfer-dims=3;640\n", "Should be 3"),
        ("[property]\ncluster-mode=5\n", "Invalid value for 'cluster-mode':'5'"),
        ("[property]\nnetwork-mode=4\n", "Invalid value for 'network-mode':'4'"),
        ("[property]\nnum-detected-classes=1\n[class-attrs-1]\ntopk=1\n", "num-detected-classes=1"),
        ("[property]\nnum-detected-classes=1\n[class-attrs-x]\ntopk=1\n", "Invalid group"),
        ("[property]\nnum-detected-classes=1\n[class-attrs-0]\ntopk=-1\n", "Invalid topk"),
        ("[property]\nnum-detected-classes=1\n[class-attrs-0]\nbg-color=1;0\n", "exactly 4"),
    ] {
        let error = read(text, "7.1").unwrap_err();
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn keys_that_a_version_does_not_know_are_complained_about_and_not_used() {
    let text = "[property]\nbatchsize=2\nsymmetric-padding=1\nstrongly-typed=1\nproto-file=x\n";
    let complaints = |version| read(text, version).unwrap().complaints.join("\n");
    assert!(complaints("9.1").contains("'batchsize'"));
    assert!(complaints("9.1").contains("'proto-file'"));
    assert!(!complaints("9.1").contains("strongly-typed"));
    assert!(complaints("8.0").contains("strongly-typed"));
    assert!(!complaints("7.0").contains("proto-file"));
    assert!(complaints("5.0").contains("symmetric-padding"));
    assert!(!read(text, "5.0").unwrap().config.symmetric_padding);
    assert!(read(text, "5.1").unwrap().config.symmetric_padding);
}
