//! Tests of finding the state folder and the control endpoint: above all, what a person is told when it is not there.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn variables<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
    |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
}

#[test]
fn the_state_folder_is_the_first_that_is_named() {
    let all = [("TANDEM_STATE", "/t"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
    let find = |given: Option<&str>, set: &[(&str, &str)]| {
        Places::find(given.map(Path::new), variables(set)).folder(None).ok()
    };
    assert_eq!(find(Some("/given"), &all), Some(PathBuf::from("/given")));
    assert_eq!(find(None, &all), Some(PathBuf::from("/t")));
    assert_eq!(find(None, &all[1..]), Some(PathBuf::from("/x/tandem")));
    assert_eq!(find(None, &all[2..]), Some(PathBuf::from("/h/.local/state/tandem")));
    assert_eq!(find(None, &[]), None);
    assert_eq!(
        find(None, &[("TANDEM_STATE", ""), ("XDG_STATE_HOME", "not/absolute"), ("HOME", "/h")]),
        Some(PathBuf::from("/h/.local/state/tandem"))
    );
}

#[test]
fn a_folder_of_the_configuration_comes_behind_what_a_person_says_and_before_the_usual_one() {
    let all = [("TANDEM_STATE", "/t"), ("XDG_STATE_HOME", "/x")];
    let folder = |set: &[(&str, &str)]| Places::find(None, variables(set)).folder(Some(Path::new("/c"))).unwrap();
    assert_eq!(folder(&all), PathBuf::from("/t"));
    assert_eq!(folder(&all[1..]), PathBuf::from("/c"));
    assert_eq!(folder(&[]), PathBuf::from("/c"));
}

/// A state folder of one test, removed at its end.
struct Folder(PathBuf);
impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tandem-cli-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    #[expect(clippy::disallowed_methods, reason = "a test makes the files that the command finds")]
    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
    fn global(&self) -> Global {
        Global { state: Some(self.0.clone()), ..Global::default() }
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The first process of what is found.
fn endpoint_at(places: &Places, global: &Global) -> Result<Endpoint, Failure> {
    endpoints_at(places, global).map(|(first, _)| first.endpoint)
}
fn endpoint(global: &Global) -> Result<Endpoint, Failure> {
    endpoint_at(&Places::of(global), global)
}

/// Why a command finds nothing, on a machine where nothing else runs.
fn refused(global: &Global) -> Failure {
    endpoint_at(&Places { named: global.state.clone(), usual: None }, global).err().unwrap()
}

#[test]
fn a_running_process_is_found_by_its_control_file() {
    let folder = Folder::new("found");
    folder.put("secret", "0123456789abcdef\n");
    folder.put(CONTROL_FILE, r#"{"address":"127.0.0.1:7060","token_file":"secret","pid":1}"#);
    let found = endpoint(&folder.global()).unwrap();
    assert_eq!((found.url.as_str(), found.token.as_str()), ("http://127.0.0.1:7060", "0123456789abcdef"));
    let elsewhere = endpoint(&Global { control: Some("http://[::1]:99/".to_owned()), ..folder.global() }).unwrap();
    assert_eq!(elsewhere.url, "http://[::1]:99");
}

#[test]
fn when_nothing_runs_it_says_how_to_start_it() {
    let folder = Folder::new("nothing");
    let failure = refused(&folder.global());
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(
        failure.message.starts_with("no Tandem runs here") && failure.message.contains("control.json"),
        "{failure}"
    );
    assert!(failure.to_string().contains("tandem quickstart"), "{failure}");
}

#[test]
fn a_file_left_behind_by_a_crash_is_named_as_such() {
    let folder = Folder::new("crash");
    folder.put(TOKEN_FILE, "0123456789abcdef");
    let text = format!(r#"{{"address":"127.0.0.1:1","token_file":"{TOKEN_FILE}","pid":4294967295}}"#);
    folder.put(CONTROL_FILE, &text);
    assert!(endpoint(&folder.global()).unwrap().absent.contains("left behind by process 4294967295"));
}

/// A Tandem as commands see it: a pointer in the usual place, a control file in its own.
fn running(usual: &Folder, own: &Folder, cluster: &str, address: &str) -> tandem_host::hold::Marker {
    own.put(TOKEN_FILE, &format!("token-of-{cluster}"));
    own.put(CONTROL_FILE, &format!(r#"{{"address":"{address}","token_file":"{TOKEN_FILE}","pid":1}}"#));
    let nodes = vec!["CCM1".to_owned()];
    let pointer =
        running::Pointer { cluster: cluster.to_owned(), nodes, state: own.0.clone(), pid: 1, others: Vec::new() };
    running::leave(&usual.0, &pointer, u64::from(address.bytes().map(u32::from).sum::<u32>())).unwrap()
}

#[test]
fn the_only_one_that_runs_is_found_wherever_its_state_is_and_of_several_one_must_be_named() {
    let (usual, one, two) = (Folder::new("usual"), Folder::new("one"), Folder::new("two"));
    let places = Places { named: None, usual: Some(usual.0.clone()) };
    let found = |global: &Global| endpoint_at(&places, global);
    let first = running(&usual, &one, "lab", "127.0.0.1:7060");
    assert_eq!(found(&Global::default()).unwrap().token, "token-of-lab");
    let second = running(&usual, &two, "plant", "127.0.0.1:7061");
    let failure = found(&Global::default()).err().unwrap();
    assert_eq!(failure.exit, Exit::Usage);
    let text = failure.to_string();
    for told in ["2 Tandems run here", "cluster lab (CCM1)", "cluster plant", &format!("--state {}", two.0.display())] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let by_address = Global { control: Some("127.0.0.1:7061".to_owned()), ..Global::default() };
    assert_eq!(found(&by_address).unwrap().token, "token-of-plant");
    // What is named is meant, also when nothing runs there; then the others are told.
    let named = Places { named: Some(usual.0.clone()), ..places.clone() };
    let text = endpoint_at(&named, &Global::default()).err().unwrap().to_string();
    assert!(
        text.contains("no Tandem runs here") && text.contains("running elsewhere") && text.contains("plant"),
        "{text}"
    );
    drop(first);
    assert_eq!(found(&Global::default()).unwrap().token, "token-of-plant");
    drop(second);
    assert!(found(&Global::default()).err().unwrap().to_string().contains("tandem quickstart"));
}

#[test]
fn a_missing_empty_or_forbidden_token_is_told_with_its_path() {
    let folder = Folder::new("token");
    folder.put(CONTROL_FILE, r#"{"address":"127.0.0.1:7060","token_file":"t","pid":1}"#);
    let missing = refused(&folder.global());
    assert_eq!(missing.exit, Exit::Unreachable);
    assert!(missing.to_string().contains("--token-file"), "{missing}");
    let path = folder.put("t", " \n");
    assert!(refused(&folder.global()).message.contains("holds no control token"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read everything; everybody else is told whom to ask.
    if std::fs::File::open(&path).is_err() {
        assert!(refused(&folder.global()).to_string().contains("run this as that user"));
    }
}

#[test]
fn a_damaged_control_file_is_not_taken_for_a_stopped_process() {
    let folder = Folder::new("damaged");
    folder.put(CONTROL_FILE, "{\"address\": ");
    assert!(refused(&folder.global()).message.contains("is damaged"));
}

#[test]
fn an_address_that_is_none_is_refused_with_an_example() {
    for wrong in ["", "7060", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70600", "https://a:1", "a:1/path", "a@b:1", ":80"]
    {
        let failure = url(wrong).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{wrong}");
        assert!(failure.to_string().contains("127.0.0.1:7060"));
    }
    assert_eq!(url("localhost:7060").unwrap(), "http://localhost:7060");
    assert_eq!(listen_address("127.0.0.1:0").unwrap().port(), 0);
    assert_eq!(listen_address("localhost:7060").unwrap_err().exit, Exit::Usage);
}
