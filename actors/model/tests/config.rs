//! The configuration file as people meet it: good examples, and everything that is told about bad ones, word for word.
//!
//! What is told about the invalid files stands beside them; `TANDEM_BLESS=1` writes it anew, for a person to read before it is committed.

#![expect(clippy::disallowed_methods, reason = "a test may read and write its own expectations")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "all of this file is test code")]

use tandem_model::config::{Algorithm, Config, Credential, DeviceKind, Failback, json_schema};

const FIGURE_6_1: &str = include_str!("../../../examples/config/figure-6-1.toml");
const FIGURE_6_2: &str = include_str!("../../../examples/config/figure-6-2.toml");

fn good(text: &str) -> Config {
    Config::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}
fn told(text: &str) -> String {
    Config::parse("test.toml", text).unwrap_err().to_string()
}

/// A small good file with room for more.
fn small(more: &str) -> String {
    format!(
        "[cluster]\nname = \"lab\"\n[[node]]\nname = \"CCM1\"\naddress = \"127.0.0.1\"\n[[node]]\nname = \"CCM2\"\naddress = \
         \"127.0.0.2\"\n[[group]]\nname = \"G1\"\nmembers = [\"CCM1\", \"CCM2\"]\n[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n{more}"
    )
}

#[test]
fn figure_6_2_has_800_devices_in_four_groups() {
    let config = good(FIGURE_6_2);
    assert_eq!(config.device_count(), 800);
    let members: Vec<Vec<&str>> =
        config.groups.iter().map(|g| g.members.iter().map(|m| m.as_str()).collect()).collect();
    let expected =
        [["CCM1", "CCM2", "CCM3"], ["CCM1", "CCM3", "CCM2"], ["CCM2", "CCM1", "CCM3"], ["CCM2", "CCM3", "CCM1"]];
    assert_eq!(members, expected);
    let mut in_pool = [0; 4];
    for device in config.devices() {
        in_pool[usize::from(device.pool)] += 1;
        assert_eq!(device.credential, Credential::Password("figure-6-2"));
        assert_eq!((device.kind, device.lines.len()), (DeviceKind::Phone, 1));
    }
    assert_eq!(in_pool, [100, 300, 100, 300]);
    assert!((0..4).all(|pool| config.group_of_pool(pool) == Some(pool)));
    let names: Vec<_> = config.devices().map(|d| (d.name.into_owned(), d.lines[0].to_string())).collect();
    assert_eq!(names[0], ("SEP0001".to_owned(), "1001".to_owned()));
    assert_eq!(names[799], ("SEP0800".to_owned(), "1800".to_owned()));
    assert_eq!(config.publisher_name().map(|n| n.as_str()), Some("CCM1"));
    assert_eq!(config.warnings, []);
}

#[test]
fn figure_6_1_has_two_primaries_that_share_one_backup() {
    let config = good(FIGURE_6_1);
    assert_eq!(config.device_count(), 800);
    let members: Vec<Vec<&str>> =
        config.groups.iter().map(|g| g.members.iter().map(|m| m.as_str()).collect()).collect();
    assert_eq!(members, [["CCM1", "CCM3"], ["CCM2", "CCM3"]]);
    assert_eq!(config.warnings, []);
}

fn as_written(name: &str, text: &str, expected: &str) {
    let told = Config::parse(name, text).unwrap_err().to_string() + "\n";
    if std::env::var_os("TANDEM_BLESS").is_some() {
        let path = format!("{}/tests/invalid/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, &told).unwrap();
        return;
    }
    assert_eq!(told, expected, "see actors/model/tests/config.rs");
}

#[test]
fn everything_that_is_wrong_with_rows_that_do_not_fit_together_is_told_at_once() {
    as_written("references.toml", include_str!("invalid/references.toml"), include_str!("invalid/references.toml.txt"));
}

#[test]
fn everything_that_is_wrong_with_single_fields_is_told_at_once() {
    as_written("fields.toml", include_str!("invalid/fields.toml"), include_str!("invalid/fields.toml.txt"));
}

#[test]
fn a_value_that_is_a_secret_is_never_told() {
    for file in [include_str!("invalid/fields.toml.txt"), include_str!("invalid/references.toml.txt")] {
        for secret in ["hunter2", "12345", "\"one\"", "\"three\"", "0123"] {
            assert!(!file.contains(secret), "{secret} in {file}");
        }
    }
    let told = told(&small("[[device]]\nname = \"A\"\npool = \"DP1\"\npassword = \"hunter2\" x\n"));
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_not_given_has_the_usual_value() {
    let config = good(&small("[[device]]\nname = \"SEP1\"\npool = \"DP1\"\npassword = \"x\"\n"));
    assert_eq!((config.cluster.realm(), config.publisher()), ("lab", 0));
    assert_eq!(config.nodes[0].udp().next().unwrap().to_string(), "127.0.0.1:5060");
    assert_eq!(config.groups[0].failback, Failback::Automatic);
    assert_eq!(config.pools[0].connection_monitor.get().as_secs(), 120);
    assert_eq!(config.settings.algorithms, [Algorithm::Md5], "docs/decisions/0005");
    assert_eq!(config.devices[0].user(), "SEP1");
    assert_eq!(config.settings, tandem_model::config::Settings::default());
}

#[test]
fn everything_that_can_be_given_is_read() {
    let config = good(
        r#"
        [cluster]
        name = "lab"
        realm = "example.org"
        secret = "sixteen or more characters"
        [[node]]
        name = "CCM1"
        address = ["192.0.2.1", "2001:db8::1"]
        sip_udp = 0
        sip_tcp = 5070
        [[node]]
        name = "CCM2"
        address = "192.0.2.2"
        publisher = true
        [[group]]
        name = "G1"
        members = ["CCM2", "CCM1"]
        failback = "at-idle"
        [[device_pool]]
        name = "DP1"
        group = "G1"
        connection_monitor = 1.5
        region = "here"
        media_resource_list = "MRGL1"
        [[device]]
        name = "GW1"
        kind = "gateway"
        pool = "DP1"
        description = "to the outside"
        digest_user = "gw"
        ha1_md5 = "00112233445566778899aabbccddeeff"
        lines = ["9", "0"]
        [[device_series]]
        prefix = "port-"
        count = 2
        digits = 2
        pool = "DP1"
        kind = "cti-port"
        digest_user_prefix = "cti"
        password = "x"
        first_line = "+4930099"
        [settings]
        algorithms = ["MD5"]
        multiple_contacts = "replace"
        nonce_lifetime = "1m30s"
        state_dir = "/var/lib/tandem"
        control = "[::1]:7060"
        "#,
    );
    assert_eq!(config.cluster.realm(), "example.org");
    assert_eq!(format!("{:?}", config.cluster.secret), "Some(Secret)");
    assert_eq!((config.publisher(), config.nodes[0].addresses().len(), config.nodes[0].sip_udp), (1, 2, 0));
    assert_eq!(config.pools[0].connection_monitor.get().as_millis(), 1_500);
    assert_eq!(config.settings.nonce_lifetime.get().as_secs(), 90);
    let devices: Vec<_> = config.devices().collect();
    assert_eq!(
        devices[0].credential,
        Credential::Hashes { md5: Some("00112233445566778899aabbccddeeff"), sha256: None }
    );
    assert_eq!((&*devices[2].name, &*devices[2].user, devices[2].lines[0].as_str()), ("port-02", "cti02", "+4930100"));
    assert_eq!(config.device_count(), 3);
}

#[test]
fn broken_toml_is_told_with_its_line_and_what_was_expected() {
    let told = told("[cluster]\nname = \n\n[[node]\n");
    assert!(told.contains("test.toml:2:8: this is not TOML"), "{told}");
    assert!(told.contains("test.toml:4:"), "all of it, not only the first: {told}");
}

#[test]
fn a_line_may_be_shared_but_not_be_the_user_of_another_device() {
    let two = |second: &str| {
        small(&format!(
            "[[device]]\nname = \"A\"\npool = \"DP1\"\npassword = \"x\"\nlines = [\"1001\"]\n[[device]]\nname = \"B\"\npool = \
             \"DP1\"\npassword = \"x\"\n{second}"
        ))
    };
    assert_eq!(good(&two("lines = [\"1001\"]\n")).device_count(), 2);
    let told = told(&two("digest_user = \"1001\"\n"));
    assert!(told.contains("\"1001\" is a line of A and also the digest user of B"), "{told}");
}

#[test]
fn two_series_that_overlap_in_many_numbers_are_told_once() {
    let series = |first: u32| {
        format!(
            "[[device_series]]\nprefix = \"P\"\nfirst = {first}\ncount = 5000\ndigits = 5\npool = \"DP1\"\npassword = \"x\"\n"
        )
    };
    let told = told(&small(&format!("{}{}", series(1), series(1_000))));
    assert!(told.contains("stands twice"), "{told}");
    assert!(told.ends_with("1 problem"), "{told}");
}

#[test]
fn a_device_may_not_be_called_like_one_of_a_series_nor_like_its_number() {
    let with = |device: &str| {
        small(&format!(
            "[[device_series]]\nprefix = \"10\"\ncount = 99\ndigits = 2\nfirst_line = \"1001\"\npool = \"DP1\"\npassword = \"x\"\n\
             [[device_series]]\nprefix = \"P\"\ncount = 99\ndigits = 2\nfirst_line = \"2001\"\npool = \"DP1\"\npassword = \"x\"\n\
             [[device]]\npool = \"DP1\"\npassword = \"x\"\n{device}"
        ))
    };
    assert_eq!(
        good(&with("name = \"A\"\nlines = [\"2001\"]")).device_count(),
        199,
        "a phone may be called by its own number"
    );
    let told_of = |device: &str, expected: &str| {
        let told = told(&with(device));
        assert!(told.contains(expected) && told.ends_with("1 problem"), "{told}");
    };
    told_of("name = \"P07\"", "the device \"P07\" stands twice");
    told_of("name = \"1007\"", "the device \"1007\" stands twice");
    told_of("name = \"2050\"", "\"2050\" is the name of 2050 and also a line of P50");
    told_of("name = \"A\"\ndigest_user = \"P99\"", "\"P99\" is the digest user of A and also the name of P99");
    told_of("name = \"A\"\nlines = [\"1099\"]", "\"1099\" is a line of A and also the name of 1099");
    assert_eq!(good(&with("name = \"P100\"")).device_count(), 199);
}

#[test]
fn a_node_may_not_take_the_address_of_another() {
    let text = small("").replace("127.0.0.2", "127.0.0.1");
    let told = told(&text);
    assert!(told.contains("127.0.0.1:5060 is taken: node CCM1 listens there too"), "{told}");
    assert!(
        good(&text.replace("address = \"127.0.0.1\"", "address = \"127.0.0.1\"\nsip_udp = 0\nsip_tcp = 0")).nodes.len()
            == 2
    );
}

#[test]
fn links_between_hosts_are_for_all_nodes_or_none_and_reach_one_node_each() {
    let linked = |one: &str, two: &str| {
        let with = |text: &str, node: &str, link: &str| {
            let address = format!("address = \"{node}\"");
            let line = if link.is_empty() { String::new() } else { format!("\nlink = \"{link}\"") };
            text.replacen(&address, &format!("{address}{line}"), 1)
        };
        with(&with(&small(""), "127.0.0.1", one), "127.0.0.2", two)
    };
    let secret = |text: String| text.replacen("name = \"lab\"", "name = \"lab\"\nsecret = \"0123456789abcdef\"", 1);
    let config = good(&secret(linked("quic/127.0.0.1:7447", "quic/127.0.0.2:7447")));
    assert!(config.is_on_several_hosts() && config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.nodes[1].link.map(|l| l.to_string()).as_deref(), Some("quic/127.0.0.2:7447"));
    assert!(!good(&small("")).is_on_several_hosts());
    let config = good(&linked("quic/127.0.0.1:7447", "quic/127.0.0.2:7447"));
    assert!(
        config.warnings.len() == 1 && config.warnings[0].what.contains("no `secret` in common"),
        "{:?}",
        config.warnings
    );
    for (one, two, line, what) in [
        ("quic/127.0.0.1:7447", "", 7, "CCM2 has no `link`"),
        ("quic/127.0.0.1:0", "quic/127.0.0.2:7447", 6, "CCM1 has port 0 in its link"),
        ("quic/0.0.0.0:7447", "quic/127.0.0.2:7447", 6, "0.0.0.0 is not an address of one node"),
        ("quic/127.0.0.1:7447", "quic/127.0.0.1:7447", 10, "127.0.0.1:7447 is taken: node CCM1 listens there too"),
        ("quic/127.0.0.1:5060", "quic/127.0.0.2:7447", 6, "127.0.0.1:5060 is taken: SIP over UDP listens there"),
        ("quic/127.0.0.1:7447", "quic/[::1]:7447", 10, "::1 cannot be used in a link"),
        ("quic/127.0.0.1:7447", "tls/127.0.0.2:7447", 10, "link: not a good value"),
    ] {
        let told = told(&linked(one, two));
        assert!(told.contains(&format!("test.toml:{line}:")) && told.contains(what), "{one} {two}: {told}");
    }
}

#[test]
fn a_hash_for_each_offered_algorithm_is_needed_unless_there_is_a_password() {
    let md5 = "[[device]]\nname = \"A\"\npool = \"DP1\"\nha1_md5 = \"00112233445566778899aabbccddeeff\"\n";
    assert_eq!(good(&small(md5)).device_count(), 1);
    let told = told(&small(&format!("{md5}[settings]\nalgorithms = [\"SHA-256\", \"MD5\"]\n")));
    assert!(told.contains("it has no hash by SHA-256, which the cluster offers"), "{told}");
}

#[test]
fn what_is_unwise_is_a_warning_and_not_an_error() {
    let config = good(&small("[[group]]\nname = \"G2\"\nmembers = [\"CCM2\"]\n[settings]\ndigest = false\n"));
    let told: Vec<_> = config.warnings.iter().map(|w| w.what.as_str()).collect();
    let expected = [
        "G2 has no backup: when CCM2 dies its devices are homeless",
        "digest authentication is off: anybody can register as any device",
    ];
    assert_eq!(told, expected);
    assert_eq!(config.warnings[0].line, 17);
}

#[test]
fn a_hundred_thousand_devices_are_one_row() {
    let text = small(
        "[[device_series]]\nprefix = \"P\"\ncount = 100000\ndigits = 6\npool = \"DP1\"\npassword = \"x\"\nfirst_line = \"000001\"\n",
    );
    let config = good(&text);
    assert_eq!(config.device_count(), 100_000);
    let last = config.devices().last().unwrap();
    assert_eq!((&*last.name, last.lines[0].as_str()), ("P100000", "100000"));
    let told = told(&text.replace("count = 100000", "count = 2000001"));
    assert!(told.contains("a series of 2000001 devices"), "{told}");
}

#[test]
fn equal_files_have_equal_revisions() {
    assert_eq!(good(FIGURE_6_2).revision, good(FIGURE_6_2).revision);
    assert_ne!(good(FIGURE_6_2).revision, good(FIGURE_6_1).revision);
}

#[test]
fn the_json_schema_names_every_table_and_refuses_unknown_fields() {
    let schema = json_schema();
    let tables: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(tables, ["cluster", "device", "device_pool", "device_series", "group", "node", "settings"]);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["cluster", "node"]));
    let node = &schema["$defs"]["Node"];
    assert_eq!(node["additionalProperties"], false);
    assert_eq!(node["properties"]["sip_udp"]["default"], 5060);
}
