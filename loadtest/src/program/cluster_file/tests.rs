//! The reader against the configurations that Tandem ships, and against what people get wrong.

use super::*;

fn shipped(name: &str) -> Cluster {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/config").join(name);
    Cluster::read(&path, None, false).unwrap()
}

fn error(text: &str) -> String {
    match Cluster::parse(text, None, false).unwrap_err() {
        Wrong::Syntax(what) => what,
        Wrong::Row(what, remedy) => format!("{what}; {remedy}"),
    }
}

const HEAD: &str = "[cluster]\nname=\"c\"\n[[node]]\nname=\"A\"\naddress=\"127.0.0.1\"\n[[group]]\nname=\"G\"\nmembers=[\"A\"]\n[[device_pool]]\nname=\"P\"\ngroup=\"G\"\n";

#[test]
fn figure_6_2_is_read_as_its_comment_says() {
    let cluster = shipped("figure-6-2.toml");
    assert_eq!((cluster.name.as_str(), cluster.count(), cluster.digest), ("figure-6-2", 800, true));
    let pools: Vec<(&str, u64, Vec<&str>)> = cluster
        .pools
        .iter()
        .map(|p| (p.name.as_str(), p.count(), p.members.iter().map(|&m| cluster.nodes[m].name.as_str()).collect()))
        .collect();
    assert_eq!(
        pools,
        [
            ("DP1", 100, vec!["CCM1", "CCM2", "CCM3"]),
            ("DP2", 300, vec!["CCM1", "CCM3", "CCM2"]),
            ("DP3", 100, vec!["CCM2", "CCM1", "CCM3"]),
            ("DP4", 300, vec!["CCM2", "CCM3", "CCM1"]),
        ]
    );
    assert_eq!(cluster.nodes[2].udp, "127.0.0.1:5063".parse().unwrap());
    let last = cluster.pools[3].phones(300).last().unwrap();
    assert_eq!(
        (last.user.as_str(), last.digest_user.as_str(), last.password.as_str()),
        ("SEP0800", "SEP0800", "figure-6-2")
    );
    assert_eq!(cluster.pools[0].phones(2).map(|p| p.user).collect::<Vec<_>>(), ["SEP0001", "SEP0002"]);
}

#[test]
fn the_other_shipped_files_are_read_too() {
    let cluster = shipped("figure-6-1.toml");
    assert_eq!((cluster.count(), cluster.pools.len(), cluster.pools[1].members.len()), (800, 2, 2));
    let cluster = shipped("benchmark.toml");
    assert_eq!((cluster.count(), cluster.digest), (100_000, false));
    assert_eq!(cluster.pools[0].phones(1).next().unwrap().user, "u0000000");
}

#[test]
fn shares_are_in_proportion_and_add_up() {
    let cluster = shipped("figure-6-2.toml");
    assert_eq!(cluster.shares(800), [100, 300, 100, 300]);
    assert_eq!(cluster.shares(8), [1, 3, 1, 3]);
    for total in [0, 1, 7, 100, 799] {
        assert_eq!(cluster.shares(total).iter().sum::<u64>(), total);
    }
    assert_eq!(cluster.shares(2), [0, 1, 0, 1], "the largest remainders");
}

#[test]
fn devices_of_their_own_names_users_and_kinds() {
    let text = format!(
        "{HEAD}[[device]]\nname=\"x\"\npool=\"P\"\ndigest_user=\"y\"\npassword=\"z\"\n\
         [[device]]\nname=\"g\"\nkind=\"gateway\"\npool=\"P\"\n\
         [[device_series]]\nprefix=\"S\"\nfirst=9\ncount=2\ndigits=3\npool=\"P\"\npassword=\"p\"\ndigest_user_prefix=\"u\"\n"
    );
    let cluster = Cluster::parse(&text, None, false).unwrap();
    assert_eq!(cluster.others, 1);
    let all: Vec<(String, String)> = cluster.pools[0].phones(9).map(|p| (p.user, p.digest_user)).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(all, [pair("x", "y"), pair("S009", "u009"), pair("S010", "u010")]);
    assert!(!format!("{cluster:?}").contains("\"p\""), "no password in a debug print");
}

#[test]
fn a_wanted_family_of_addresses_is_taken_and_another_rather_than_none() {
    let text = format!("{HEAD}[[device]]\nname=\"x\"\npool=\"P\"\npassword=\"z\"\n")
        .replace("\"127.0.0.1\"", "[\"127.0.0.1\", \"::1\"]");
    let ip = |v6| Cluster::parse(&text, None, v6).unwrap().nodes[0].udp.ip();
    assert!(ip(false).is_ipv4() && ip(true).is_ipv6());
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    assert!(error("hello").contains("expected"), "{}", error("hello"));
    assert!(error("[cluster]\nname=\"c\"\n").contains("no device of the file is a phone"));
    let unknown = format!("{HEAD}[[device]]\nname=\"x\"\npool=\"Q\"\npassword=\"z\"\n");
    assert!(error(&unknown).contains("no device pool \"Q\"; device pools: P"), "{}", error(&unknown));
    let member = HEAD.replace("[\"A\"]", "[\"B\"]");
    assert!(error(&member).contains("no node \"B\"; nodes: A"));
    let hashed = format!("{HEAD}[[device]]\nname=\"x\"\npool=\"P\"\nha1_md5=\"00\"\n");
    assert!(error(&hashed).contains("only hashes") && error(&hashed).contains("--password-file"));
    assert!(Cluster::parse(&hashed, Some("given"), false).is_ok());
    let open = format!("{hashed}[settings]\ndigest=false\n");
    assert!(Cluster::parse(&open, None, false).is_ok(), "nobody asks for it");
}

#[test]
fn a_missing_file_is_said_with_its_path() {
    let text = Cluster::read(Path::new("/nowhere/at-all.toml"), None, false).unwrap_err().to_string();
    assert!(text.contains("/nowhere/at-all.toml") && text.contains("--config"), "{text}");
}
