//! The page at `/`: nodes, groups and ranks live, without anything from the Internet.
//!
//! Static files in the binary; the page asks the API with a token that the person pastes or that stands after `#` in the address
//! (a fragment never leaves the browser). It must never get data that the API does not give.

use actix_web::HttpResponse;
use actix_web::http::header;

/// Only files of this listener, no frames: nothing that a name in a table says can run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(text)
}
pub(crate) async fn html() -> HttpResponse {
    file("text/html; charset=utf-8", include_str!("page/page.html"))
}
pub(crate) async fn script() -> HttpResponse {
    file("text/javascript; charset=utf-8", include_str!("page/page.js"))
}
pub(crate) async fn style() -> HttpResponse {
    file("text/css; charset=utf-8", include_str!("page/page.css"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_script_finds_every_element_that_it_names() {
        let (html, script) = (include_str!("page/page.html"), include_str!("page/page.js"));
        let named: Vec<_> =
            script.split("$(\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(id, _)| id).collect();
        assert!(named.len() > 10, "{named:?}");
        for id in named {
            assert!(html.contains(&format!("id=\"{id}\"")), "#{id}");
        }
    }
}
