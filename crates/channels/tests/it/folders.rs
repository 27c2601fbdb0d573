//! Folders of the operator: what is read of them, and that nothing outside of them is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use angarium_channels::library::{Documents, Library, OpenLibrary, Reading};
use angarium_domain::context::Reason;
use angarium_domain::context::document::DOCUMENT_BYTES_MAX;
use angarium_domain::context::source::{Config, DOCUMENTS_MAX, TextRoom, Validators};
use tempfile::TempDir;

use crate::library::acme;
use crate::sender::{Names, loopback, settings};

/// A folder with one for acme and one for beta.
fn folders() -> TempDir {
    let root = TempDir::new().expect("a folder");
    for handle in ["acme/docs", "beta"] {
        fs::create_dir_all(root.path().join(handle)).expect("a folder");
    }
    put(root.path(), "beta/secret.txt", "of beta");
    root
}

fn put(root: &Path, name: &str, text: impl AsRef<[u8]>) {
    fs::write(root.join(name), text).expect("it writes");
}

fn library(root: &Path) -> OpenLibrary {
    OpenLibrary::new(settings(loopback(), Names::default()), Some(root.to_owned())).expect("no extra roots")
}

async fn read(root: &Path, path: &str) -> Reading {
    let config = Config::Folder { path: path.to_owned() };
    library(root).read(&acme(), &config, &Validators::default(), TextRoom::OfSource).await
}

async fn documents(root: &Path, path: &str) -> Documents {
    match read(root, path).await {
        Reading::Documents(documents) => documents,
        other => panic!("{other:?}"),
    }
}

fn names(read: &Documents) -> Vec<&str> {
    read.documents.iter().map(|document| document.name.as_str()).collect()
}

#[tokio::test]
async fn documents_of_a_folder_are_read_by_name_and_others_are_not_there() {
    let root = folders();
    put(root.path(), "acme/docs/b.md", "# Beta\n\ntext");
    put(root.path(), "acme/docs/a.txt", "text");
    put(root.path(), "acme/docs/data.json", r#"{"a":1}"#);
    put(root.path(), "acme/docs/picture.png", "x");
    put(root.path(), "acme/docs/.hidden.md", "x");
    fs::create_dir(root.path().join("acme/docs/sub")).expect("a folder");
    put(root.path(), "acme/docs/sub/c.md", "deep");
    let read = documents(root.path(), "docs").await;
    assert_eq!(names(&read), ["docs/a.txt", "docs/b.md", "docs/data.json", "docs/sub/c.md"]);
    assert!(read.skipped.is_empty());
    assert_eq!(names(&documents(root.path(), "").await).len(), 4);
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_named() {
    let root = folders();
    put(root.path(), "acme/docs/good.md", "text");
    put(root.path(), "acme/docs/bad.txt", b"\xff");
    put(root.path(), "acme/docs/empty.txt", "\n");
    put(root.path(), "acme/docs/large.txt", vec![b'x'; DOCUMENT_BYTES_MAX + 1]);
    let read = documents(root.path(), "docs").await;
    assert_eq!(names(&read), ["docs/good.md"]);
    let skipped: Vec<_> = read.skipped.iter().map(|(name, reason, _)| (name.as_str(), *reason)).collect();
    let expected = [
        ("docs/bad.txt", Reason::InvalidText),
        ("docs/empty.txt", Reason::Empty),
        ("docs/large.txt", Reason::TooLarge),
    ];
    assert_eq!(skipped, expected);
}

#[tokio::test]
async fn nothing_leads_out_of_a_handles_folder() {
    let root = folders();
    let outside = TempDir::new().expect("a folder");
    put(outside.path(), "secret.txt", "of the operator");
    symlink(outside.path(), root.path().join("acme/out")).expect("a link");
    symlink(root.path().join("beta/secret.txt"), root.path().join("acme/docs/theirs.txt")).expect("a link");
    symlink(outside.path(), root.path().join("acme/docs/sub")).expect("a link");
    put(root.path(), "acme/docs/own.txt", "of acme");
    assert_eq!(names(&documents(root.path(), "").await), ["docs/own.txt"]);
    for path in ["out", "../beta", "docs/../../beta", "/etc", "nowhere", "docs/own.txt"] {
        let Reading::Failed(trouble) = read(root.path(), path).await else { panic!("{path} is read") };
        assert_eq!(trouble.reason, Reason::FolderMissing, "{path}");
    }
    for path in ["../beta", "/etc", "a//b", ".git"] {
        let refused = library(root.path()).check(Config::Folder { path: path.to_owned() }).await;
        assert_eq!(refused.err().map(|refused| refused.field), Some("path"), "{path}");
    }
}

#[tokio::test]
async fn a_source_has_no_more_documents_than_it_may() {
    let root = folders();
    for n in 0..=DOCUMENTS_MAX {
        put(root.path(), &format!("acme/docs/{n:05}.txt"), "text");
    }
    let read = documents(root.path(), "docs").await;
    assert_eq!((read.documents.len(), read.skipped.len()), (DOCUMENTS_MAX, 1));
    assert_eq!(read.skipped[0].1, Reason::TooLarge);
}

#[tokio::test]
async fn without_the_operators_word_no_folder_is_read() {
    let closed = OpenLibrary::new(settings(loopback(), Names::default()), None).expect("no extra roots");
    let config = || Config::Folder { path: String::new() };
    assert_eq!(closed.check(config()).await.err().map(|refused| refused.field), Some("kind"));
    let read = closed.read(&acme(), &config(), &Validators::default(), TextRoom::OfSource).await;
    assert!(matches!(read, Reading::Failed(trouble) if trouble.reason == Reason::FolderMissing));
}
