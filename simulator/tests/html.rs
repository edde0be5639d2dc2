//! The HTML report in a real browser, headless, from a file and without network.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Chromium, if this machine has it.
#[expect(clippy::print_stderr, reason = "what a test skips must be seen")]
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let found = names
        .iter()
        .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()));
    if found.is_none() {
        eprintln!("SKIPPED: no Chromium on this machine, so the HTML report is not opened");
    }
    found
}

/// What a script at the end of the page does, as a person would with the keyboard, and what it then finds.
const PERSON: &str = r#"<script>
const found = {};
const $ = id => document.getElementById(id);
const press = (key, target = document.activeElement) =>
  target.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
found.ready = document.body.dataset.ready;
found.pods = $("pods").tBodies[0].rows.length;
found.label = $("label").textContent;
press("Home"); found.first = $("label").textContent; found.free = $("legend").textContent;
press("]"); found.second = $("label").textContent;
press("End");
$("map").focus(); found.node = $("detail").querySelector("h3").textContent;
press("ArrowRight"); found.right = $("detail").querySelector("h3").textContent; found.said = $("said").textContent;
press("Enter"); found.focus = document.activeElement.id;
press("/"); found.typing = document.activeElement.id;
$("filter").value = "b-pod pending"; $("filter").dispatchEvent(new Event("input")); found.none = $("matching").textContent;
$("filter").value = "unschedulable"; $("filter").dispatchEvent(new Event("input")); found.matching = $("matching").textContent;
$("pods").tBodies[0].querySelector("button").click(); found.why = $("detail").textContent;
const data = $("map").getContext("2d").getImageData(0, 0, $("map").width, $("map").height).data;
found.drawn = data.some(value => value !== 0);
document.body.replaceChildren();
document.body.append("FOUND" + JSON.stringify(found) + "END");
</script>"#;

#[test]
fn the_page_works_in_chromium_by_keyboard() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/command/cluster.in");
    let status = Command::new(env!("CARGO_BIN_EXE_dray"))
        .args(["simulate", "--quiet", "-f"])
        .args(["cluster.yaml", "workload.yaml"].map(|name| example.join(name)))
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    let text = fs::read_to_string(&page)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&status.stderr)));
    fs::write(&page, text.replace("</body>", &format!("{PERSON}</body>"))).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--window-size=1300,900", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split_once("FOUND").and_then(|(_, rest)| rest.split_once("END")).map(|(found, _)| found);
    let found = found.unwrap_or_else(|| panic!("{dom}\n{}", String::from_utf8_lossy(&output.stderr)));
    let found: serde_json::Value =
        serde_json::from_str(&found.replace("&amp;", "&").replace("&gt;", ">").replace("&lt;", "<")).unwrap();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("ready"), "yes");
    assert!(found["pods"].as_u64() > Some(0), "{found}");
    assert_eq!(text("first"), "before");
    assert!(text("second").starts_with("1 of "), "{found}");
    assert!(!text("node").is_empty() && text("said").starts_with(&text("right")), "{found}");
    assert_eq!([text("focus"), text("typing")], ["detail", "filter"]);
    assert!(text("none").starts_with("0 of "), "{found}");
    assert!(text("why").contains("Why no node took it"), "{found}");
    assert_eq!(found["drawn"], true);
}
