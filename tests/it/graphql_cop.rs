//! The checks of graphql-cop, one per test. docs/security.md explains the accepted findings.

use serde_json::{Value, json};

use crate::support::database::{Engine, TestDatabase};
use crate::support::server::{Server, Setup};

struct Cop {
    server: Server,
    // Dropped after the server.
    _database: TestDatabase,
}

struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Whether the request was not executed because of a client error.
    fn is_refused(&self) -> bool {
        let codes = ["QUERY_TOO_COMPLEX", "INVALID_DOCUMENT", "INVALID_INPUT"];
        let (answer, is_server_fault) = (self.json(), self.status >= 500);
        let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned();
        !is_server_fault && answer.get("data").is_none() && codes.contains(&code.as_str())
    }
}

impl Cop {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create(Engine::Sqlite).await.unwrap();
        let setup = settings.iter().fold(Setup::new(&database), |setup, (name, value)| setup.with(name, value));
        Self { server: setup.start().await, _database: database }
    }

    async fn send(&self, request: impl FnOnce(&reqwest::Client, String) -> reqwest::RequestBuilder) -> Answer {
        let client = self.server.client();
        let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let answer = request(&http, format!("http://{}/graphql", client.address)).send().await.unwrap();
        Answer { status: answer.status().as_u16(), text: answer.text().await.unwrap() }
    }

    async fn post(&self, content_type: &str, body: String) -> Answer {
        self.send(|http, url| http.post(url).header("content-type", content_type).body(body)).await
    }

    async fn run(&self, query: &str) -> Answer {
        self.post("application/json", json!({ "query": query }).to_string()).await
    }

    async fn get(&self, query: &str, accept: &str) -> Answer {
        self.send(|http, url| http.get(format!("{url}{query}")).header("accept", accept)).await
    }
}

#[tokio::test]
async fn alias_overloading() {
    let cop = Cop::new(&[]).await;
    let aliases = |n: usize| (0..n).map(|n| format!("alias{n}: __typename ")).collect::<String>();
    assert!(cop.run(&format!("query cop {{ {} }}", aliases(101))).await.is_refused());
    assert_eq!(cop.run(&format!("query cop {{ {} }}", aliases(5))).await.json()["data"]["alias4"], "Query");
}

#[tokio::test]
async fn array_based_batching() {
    let cop = Cop::new(&[]).await;
    for n in [1, 10] {
        let batch = json!(vec![json!({ "query": "query cop { __typename }" }); n]).to_string();
        let answer = cop.post("application/json", batch).await;
        assert!(answer.status == 400 && answer.is_refused(), "{}", answer.text);
    }
}

#[tokio::test]
async fn directive_overloading() {
    let cop = Cop::new(&[]).await;
    for directive in ["@aa", "@include(if: true)"] {
        let answer = cop.run(&format!("query cop {{ __typename {} }}", directive.repeat(10))).await;
        assert!(answer.is_refused(), "{}", answer.text);
        assert!(answer.json()["errors"].as_array().unwrap().len() < 10, "the answer does not grow: {}", answer.text);
    }
}

#[tokio::test]
async fn field_duplication() {
    let query = format!("query cop {{ {} }}", "__typename ".repeat(500));
    let cop = Cop::new(&[("RATE_LIMIT_PER_MINUTE", "100")]).await;
    let answer = cop.run(&query).await.json();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "RATE_LIMITED", "each selection counts");
    assert!(answer.get("data").is_none());
    // With the default rate limit: fields with the same response key are executed once.
    let cop = Cop::new(&[]).await;
    assert_eq!(cop.run(&query).await.json(), json!({ "data": { "__typename": "Query" } }));
    assert!(cop.run(&format!("query cop {{ {} }}", "__typename ".repeat(20_000))).await.is_refused());
}

#[tokio::test]
async fn circular_introspection() {
    let cop = Cop::new(&[]).await;
    let circle = "{ __schema { types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } } }";
    assert!(cop.run(circle).await.is_refused());
}

#[tokio::test]
async fn mutations_over_get() {
    let cop = Cop::new(&[]).await;
    for accept in ["application/json", "*/*"] {
        let answer = cop.get("?query=mutation+cop+%7B__typename%7D", accept).await;
        assert!(answer.status == 405 && answer.json().get("data").is_none(), "{}", answer.text);
    }
    // Accepted: a query over GET changes nothing, and browsers add no credentials to it.
    let answer = cop.get("?query=query+cop+%7B__typename%7D", "application/json").await;
    assert_eq!(answer.json()["data"]["__typename"], "Query");
}

#[tokio::test]
async fn requests_from_forms_of_other_sites() {
    let cop = Cop::new(&[]).await;
    let boundary = "--x\r\ncontent-disposition: form-data; name=\"query\"\r\n\r\n{__typename}\r\n--x--\r\n";
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", "query=mutation+cop+%7B__typename%7D"),
        ("application/x-www-form-urlencoded", "query=query+cop+%7B__typename%7D"),
        ("multipart/form-data; boundary=x", boundary),
        ("text/plain", r#"{"query":"mutation cop { __typename }"}"#),
        ("text/plain;application/json", r#"{"query":"{ __typename }"}"#),
    ] {
        let answer = cop.post(content_type, body.to_owned()).await;
        assert!(answer.status == 415 && answer.json().get("data").is_none(), "{content_type}: {}", answer.text);
    }
    // The mutation is in the address, and the body is empty.
    let answer = cop
        .send(|http, url| http.post(format!("{url}?query=mutation+cop+%7B__typename%7D")).header("content-length", "0"))
        .await;
    assert!(answer.status >= 400 && answer.json().get("data").is_none(), "{}", answer.text);
}

#[tokio::test]
async fn field_suggestions() {
    let cop = Cop::new(&[]).await;
    for query in [
        "query cop { __schema { directive } }",
        "query cop { mee { id } }",
        "query cop { server { versoin } }",
        "query cop { characters(frist: 1) { totalCount } }",
        "mutation cop { logoot { sessionId } }",
    ] {
        let answer = cop.run(query).await;
        assert!(answer.is_refused() && !answer.text.contains("Did you mean"), "{}", answer.text);
    }
}

#[tokio::test]
async fn tracing() {
    let cop = Cop::new(&[]).await;
    let headers = [("x-apollo-tracing", "1"), ("apollo-federation-include-trace", "ftv1")];
    let body = json!({ "query": "query cop { __typename }" }).to_string();
    let answer = cop
        .send(|http, url| {
            let request = http.post(url).header("content-type", "application/json").body(body);
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        })
        .await;
    assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test]
async fn faults() {
    let cop = Cop::new(&[]).await;
    let answer = cop.run("qwerty cop { abc }").await;
    assert!(answer.is_refused(), "{}", answer.text);
    for word in ["stack", "exception", "panicked", ".rs:"] {
        assert!(!answer.text.contains(word), "{}", answer.text);
    }
}

/// Accepted: both are enabled by default and can be disabled.
#[tokio::test]
async fn playground_and_introspection() {
    let schema = "query cop { __schema { types { name } } }";
    let cop = Cop::new(&[]).await;
    let page = cop.get("", "text/html").await;
    // A build without the pages has no playground.
    assert!(
        page.status < 500 && !page.text.contains("graphiql.min"),
        "the page does not load a public GraphiQL bundle"
    );
    assert!(cop.run(schema).await.json()["data"]["__schema"].is_object());

    let cop = Cop::new(&[("PLAYGROUND", "false"), ("INTROSPECTION", "false")]).await;
    for path in ["", "?query=%7B__typename%7D"] {
        assert!(!cop.get(path, "text/html,*/*;q=0.8").await.text.contains("<html"));
    }
    for document in [
        schema,
        "query cop { __type(name: \"User\") { name } }",
        "query cop { server { id } ...S } fragment S on Query { __schema { types { name } } }",
    ] {
        let answer = cop.run(document).await.json();
        assert!(answer.get("data").is_none(), "{answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_DOCUMENT", "{answer}");
        assert_eq!(answer["errors"][0]["message"], "Introspection is disabled.", "{answer}");
    }
    assert_eq!(cop.run("query cop { __typename }").await.json()["data"]["__typename"], "Query");
}
