//! Secrets reach the process, and nothing that it prints shows them.

use bowline::prelude::*;
use bowline_tests::nonce;

#[bowline::test]
async fn what_a_process_prints_of_a_secret_is_masked() {
    let (nonce, contents) = (nonce(), "s3cr3t-of-the-test");
    // Both streams, each alignment of base64, and cut into single bytes.
    let script = r#"
        test ${#TOKEN} = 18 || exit 9
        echo "plain $TOKEN end"; echo "error $TOKEN" >&2
        for pad in "" a ab; do printf '%s%s,after' "$pad" "$TOKEN" | base64; done
        while [ -n "$TOKEN" ]; do printf '%.1s' "$TOKEN"; TOKEN="${TOKEN#?}"; sleep 0.05; done; echo
    "#;
    let p = pipeline! {
        container a {
            image "busybox:1.35";
            env NONCE = &nonce;
            env TOKEN = &token;
            shell script { stdout to "/out"; }
            export "/out" as out;
        }
        container fails {
            image "busybox:1.35";
            env NONCE = &nonce;
            env TOKEN = &token;
            shell "echo failed with $TOKEN; echo and $TOKEN >&2; exit 1";
        }
        container no_secret {
            image "busybox:1.35";
            env NONCE = &nonce;
            env TOKEN = &empty;
            shell "echo all is shown";
        }
        secret token = secret::value("token", contents);
        secret empty = secret::value("empty", "");
    };
    let output = p.a.output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[4]), (5, "plain *** end", "***"), "{stdout}");
    assert!(lines[1..4].iter().all(|line| line.contains("***") && line.len() < 24), "{stdout}");
    assert_eq!(output.stderr, b"error ***\n");
    assert_eq!(p.a.out().contents().await.unwrap(), stdout);

    let error = p.fails.sync().await.unwrap_err().to_string();
    assert!(error.contains("failed with ***") && error.contains("and ***"), "{error}");
    assert!(!error.contains(contents), "{error}");
    assert_eq!(p.no_secret.stdout().await.unwrap(), "all is shown\n");
    assert!(!format!("{:?} {}", p.a, p.plan()).contains(contents));
}

#[bowline::test]
async fn a_key_of_many_lines_is_masked_line_by_line_and_encoded() {
    let lines = [
        "-----BEGIN KEY-----",
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ",
        "c2Vjb25k/bGluZQ+x",
        "-----END KEY-----",
    ];
    let script = r#"
        sed 's/^/    /' /key; head -3 /key | tail -1; tr '\n' ' ' </key; echo
        base64 </key; base64 -w 20 </key; od -An -v -tx1 </key | tr -d ' \n'; echo
        sed 's/%/%25/g; s/+/%2b/g; s,/,%2f,g' /key
        awk '{ gsub("/", "\\\\/"); printf "%s\\\\n", $0 }' /key
    "#;
    let p = pipeline! {
        secret key = secret::value("key", lines.join("\n") + "\n");
        container a {
            image "debian:12";
            env NONCE = nonce();
            mount key at "/key";
            shell script;
        }
    };
    let shown = p.a.stdout().await.unwrap();
    let left: String = shown.chars().filter(char::is_ascii_alphanumeric).collect();
    assert!(shown.starts_with("    ***\n    ***\n    ***\n    ***\n***\n*** *** *** ***"), "{shown}");
    // Of base64 texts a letter at either end may be left; `n` stands for line breaks.
    assert!(left.chars().filter(|letter| *letter != 'n').count() < 16, "{shown}");
}

#[bowline::test]
async fn a_service_that_fails_does_not_show_its_secret() {
    let (nonce, contents) = (nonce(), "another-s3cr3t");
    let p = pipeline! {
        secret token = secret::value("token", contents);
        service db {
            image "busybox:1.35";
            env NONCE = &nonce;
            env TOKEN = &token;
            run ["sh", "-c", "echo password $TOKEN; echo $TOKEN | base64; exit 3"];
            expose 5432;
        }
        service never {
            image "busybox:1.35";
            env NONCE = &nonce;
            env TOKEN = &token;
            run ["sleep", "600"];
            expose 80 unprobed;
            ready exec ["sh", "-c", "echo refused $TOKEN; exit 1"] within "2s";
        }
        container client { image "busybox:1.35"; bind db; exec ["true"]; }
        container other { image "busybox:1.35"; bind never; exec ["true"]; }
    };
    let error = p.client.sync().await.unwrap_err().to_string();
    assert!(error.contains("password ***") && !error.contains(contents), "{error}");
    assert!(!error.contains("YW5vdGhlci1zM2NyM3"), "{error}");
    let error = p.other.sync().await.unwrap_err().to_string();
    assert!(error.contains("refused ***") && !error.contains("refused another"), "{error}");
}
