//! Who is let in.

use reqwest::StatusCode;
use serde_json::Value;

use crate::campus::{Campus, Lecture, TOKEN};

#[tokio::test]
async fn without_the_token_every_page_is_locked_and_says_what_to_do() {
    let campus = Campus::open().await;
    let id = campus.keep(&Lecture::default()).await.recording;
    let paths = [
        "/".to_owned(),
        format!("/recordings/{id}"),
        format!("/recordings/{id}/video.mp4"),
        format!("/recordings/{id}/captions.vtt"),
        "/nonsense".to_owned(),
        "/?token=".to_owned(),
        format!("/?token={}", TOKEN.replace('0', "1")),
        format!("/?token={}", &TOKEN[1..]),
    ];
    for path in &paths {
        let answer = campus.stranger(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(!answer.headers().contains_key("set-cookie"), "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("Open the link that the portal printed"), "{page}");
        assert!(!page.contains("Linear algebra") && !page.contains(TOKEN));
    }
    for wrong in ["lectern-portal=", "lectern-portal=x", "token=0123456789abcdef0123456789abcdef01234567"] {
        let answer = campus.stranger("/").header("cookie", wrong).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let api = campus.stranger("/api/recordings").send().await.unwrap();
    assert_eq!(api.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(api.headers()["content-type"], "application/problem+json");
    assert_eq!(api.json::<Value>().await.unwrap()["status"], 401);
    // What a probe and the locked page itself need.
    for open in ["/healthz", "/assets/page.css", "/assets/portal.js"] {
        assert_eq!(campus.stranger(open).send().await.unwrap().status(), StatusCode::OK, "{open}");
    }
}

#[tokio::test]
async fn the_link_sets_a_cookie_and_drops_the_token() {
    let campus = Campus::open().await;
    let answer = campus.stranger(&format!("/recordings/x?token={TOKEN}&a=1")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/recordings/x?a=1");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for word in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.split("; ").any(|part| part == word), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(campus.stranger("/").header("cookie", pair).send().await.unwrap().status(), StatusCode::OK);
    let bearer = campus.stranger("/api/recordings").bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(bearer.json::<Value>().await.unwrap()["count"], 0);
    let elsewhere = campus.stranger(&format!("//evil.example/?token={TOKEN}")).send().await.unwrap();
    assert_eq!(elsewhere.headers()["location"], "/evil.example/");
}

/// A policy of `'self'` would quietly switch off any style or script that stands in the page itself.
#[tokio::test]
async fn no_page_needs_what_its_own_policy_forbids() {
    let campus = Campus::open().await;
    let id = campus.keep(&Lecture::default()).await.recording;
    for path in ["/", &format!("/recordings/{id}"), "/nonsense"] {
        let page = campus.get(path).await.text().await.unwrap();
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick="), "{page}");
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/assets/").count(), "{page}");
        assert!(page.contains("width=device-width") && page.contains("<html lang="), "{page}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_it_private() {
    let campus = Campus::open().await;
    let id = campus.keep(&Lecture::default()).await.recording;
    let paths =
        ["/", &format!("/recordings/{id}"), &format!("/recordings/{id}/video.mp4"), "/nonsense", "/api/recordings"];
    for path in paths {
        for answer in [campus.get(path).await, campus.stranger(path).send().await.unwrap()] {
            let headers = answer.headers();
            assert_eq!(headers["cache-control"], "no-store", "{path}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
            for closed in ["frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "form-action 'none'"] {
                assert!(policy.split("; ").any(|part| part == closed), "{path}: {policy}");
            }
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        }
    }
}
