use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::*;

const BASE: &str = "https://a.example/orders?size=2";

fn next_at(url: &str, number: usize, so_far: usize, around: &Value) -> NextPage {
    let page = Page {
        number,
        url: &Url::parse(url).unwrap(),
        headers: &HeaderMap::new(),
        around: around.as_object().unwrap(),
        records: 2,
        so_far,
    };
    (Paging::default().next)(&page)
}

#[test]
fn whatever_is_offered_is_taken() {
    let absolute = |text: &str| Some(format!("https://a.example/orders?size=2&{text}"));
    let as_is = |text: &str| Some(text.to_owned());
    for (around, expected) in [
        (json!({}), None),
        (
            json!({"next": null, "nextCursor": "", "hasMore": false}),
            None,
        ),
        (json!({"next": "/orders?p=2"}), as_is("/orders?p=2")),
        (json!({"links": {"next": {"href": "?p=2"}}}), as_is("?p=2")),
        (json!({"_links": {"self": {"href": "?p=1"}}}), None),
        (
            json!({"@odata.nextLink": "https://a.example/n"}),
            as_is("https://a.example/n"),
        ),
        (json!({"paging": {"next_link": "n"}}), as_is("n")),
        (json!({"next": "b3Blbg=="}), absolute("cursor=b3Blbg%3D%3D")),
        (json!({"nextCursor": "c/1"}), absolute("cursor=c%2F1")),
        (json!({"nextPageToken": "c"}), absolute("pageToken=c")),
        (json!({"next_page_token": 7}), absolute("page_token=7")),
        (json!({"nextToken": "c"}), absolute("nextToken=c")),
        (
            json!({"meta": {"pagination": {"continuationToken": "c"}}}),
            absolute("continuationToken=c"),
        ),
        (json!({"nextCursor": "c", "has_more": false}), None),
        (json!({"nextPage": 2}), absolute("page=2")),
        (json!({"page": 1, "totalPages": 2}), absolute("page=2")),
        (
            json!({"page": {"number": 0, "totalPages": 2}}),
            absolute("page=1"),
        ),
        (
            json!({"PageNumber": "1", "PageCount": "3"}),
            absolute("PageNumber=2"),
        ),
        (json!({"page": 2, "totalPages": 2, "total": 99}), None),
        (json!({"number": 0, "totalPages": 1, "last": true}), None),
        (json!({"page": 1, "hasMore": true}), absolute("page=2")),
        (
            json!({"offset": 0, "limit": 2, "total": 3}),
            absolute("offset=2"),
        ),
        (json!({"offset": 2, "limit": 2, "total": 4}), None),
        (json!({"total": 2}), None),
    ] {
        let number = if around["page"] == 2 { 2 } else { 1 };
        let found = match next_at(
            BASE,
            number,
            2 * number + usize::from(around["offset"] == 2) * 2,
            &around,
        ) {
            NextPage::At(reference) => Some(reference),
            NextPage::None => None,
            NextPage::Unreachable => panic!("{around}"),
        };
        assert_eq!(found, expected, "{around}");
    }
}

#[test]
fn a_parameter_that_is_there_is_changed_and_no_other() {
    let NextPage::At(next) = next_at(
        "https://a.example/?x=1&Page=1&y=2",
        1,
        2,
        &json!({"page": 1, "pages": 3}),
    ) else {
        panic!("a page");
    };
    assert_eq!(next, "https://a.example/?x=1&y=2&Page=2");
}

#[test]
fn more_without_a_way_to_it_is_said() {
    for around in [
        json!({"hasMore": true}),
        json!({"total": 3}),
        json!({"last": false}),
    ] {
        let next = next_at(BASE, 1, 2, &around);
        assert!(next == NextPage::Unreachable, "{around}");
    }
}

proptest! {
    /// Whatever is around a list, the convention ends: no page leads to itself for ever.
    #[test]
    fn numbers_lead_on_or_end(page in any::<u64>(), pages in any::<u64>(), number in 1usize..2000) {
        let around = json!({"page": page, "totalPages": pages});
        if let NextPage::At(next) = next_at("https://a.example/", number, 2, &around) {
            let next = Url::parse(&next).unwrap();
            let (_, value) = next.query_pairs().next().unwrap();
            prop_assert_eq!(value.parse::<u64>().unwrap(), page + 1);
        }
    }
}
