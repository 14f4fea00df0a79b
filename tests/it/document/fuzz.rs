//! Fuzz test with random mutations of the documents of this repository: no document panics or is slow, and each has the
//! same result from the cache, with other insignificant characters, and with the validation of async-graphql.
//!
//! The test runs for five seconds. `DOCUMENT_FUZZ_SECONDS=600` with a release build is the long run, and
//! `DOCUMENT_FUZZ_SEED` selects other mutations.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::{Executor, Extensions, Request, Response, ServerError, ValidationMode, Variables};
use duologue::graphql::document::{Documents, Limits};
use duologue::graphql::error::is_request_error;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::document_limits::Through;
use super::hostile_documents::{BOUND, SLACK, WORDS};
use super::toy::{self, Count, Toy};
use crate::support::conforming::Conforming;

/// The maximum length of a text whose time is limited.
const KILOBYTE: usize = 1_024;

/// A pseudorandom number generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The documents of the tests, the pages, the examples and the documentation: the files with documents, and every text
/// between quotes, backticks or fences that is valid for one of the schemas.
fn seeds(schemas: &[&Documents]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = ["tests", "web", "examples", "docs"].map(|name| root.join(name)).to_vec();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                folders.extend((!["node_modules", "dist"].contains(&name.as_str())).then_some(path));
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let whole = std::iter::once(text.as_str());
            found.extend(
                whole
                    .chain(["```", "`", "\"", "'"].into_iter().flat_map(|quote| text.split(quote)))
                    .map(|part| part.strip_prefix("graphql\n").unwrap_or(part))
                    .filter(|part| part.contains('{') && part.len() < 16 * KILOBYTE)
                    .filter(|part| schemas.iter().any(|documents| documents.find(part, &Extensions::default()).is_ok()))
                    .map(str::to_owned),
            );
        }
    }
    found.into_iter().collect()
}

/// Splits a text into names and the characters between them. Mutations cut at these positions.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_name = |letter: char| letter == '_' || letter.is_alphanumeric();
        let end = match first {
            _ if is_name(first) => rest.find(|letter| !is_name(letter)).unwrap_or(rest.len()),
            _ if rest.starts_with("...") || rest.starts_with("\"\"\"") => 3,
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..end]);
        rest = &rest[end..];
    }
    tokens
}

/// A document with one to nine random mutations.
fn mutated(dice: &mut Dice, seeds: &[&[&str]], names: &[&str]) -> String {
    let mut text = dice.pick(seeds).to_vec();
    for _ in 0..=[0, 0, 1, 1, 2, 3, 5, 8][dice.below(8)] {
        let at = dice.below(text.len() + 1);
        let end = (at + dice.below(12)).min(text.len());
        match dice.below(9) {
            0 => drop(text.drain(at..end)),
            1 => text.insert(at, dice.pick(WORDS)),
            2 => text.insert(at, dice.pick(names)),
            3 => {
                if let Some(token) = text.get_mut(at) {
                    *token = if dice.below(2) == 0 { dice.pick(names) } else { dice.pick(WORDS) };
                }
            }
            // Repetition: doubled spreads, many arguments, nested brackets.
            4 => {
                let part = text[at..end].repeat(1 + dice.below(40));
                drop(text.splice(at..at, part));
            }
            5 => {
                let other = dice.pick(seeds);
                let from = dice.below(other.len() + 1);
                let part = &other[from..(from + dice.below(60)).min(other.len())];
                drop(text.splice(at..end, part.iter().copied()));
            }
            6 => text.truncate(at),
            7 => text[at..end].reverse(),
            _ => {
                let other = dice.below(text.len() + 1);
                if at < text.len() && other < text.len() {
                    text.swap(at, other);
                }
            }
        }
    }
    let mut text = text.concat();
    let longest = if dice.below(20) == 0 { 32 * KILOBYTE } else { KILOBYTE };
    text.truncate(text.floor_char_boundary(longest));
    if dice.below(10) == 0 {
        let at = text.floor_char_boundary(dice.below(text.len() + 1));
        let byte = u32::try_from(dice.below(0x300)).unwrap();
        text.insert(at, char::from_u32(byte).unwrap());
    }
    text.truncate(text.floor_char_boundary(longest));
    text
}

/// Random values for every name after `$`.
fn variables(dice: &mut Dice, text: &str) -> Variables {
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let wide = json!({ "x": 1, "inner": { "x": 2, "list": [null, 1, "a"] }, "content": "Hi", "chatId": "chat_1" });
    let values =
        [json!(null), json!(true), json!(false), json!(1), json!(-1), json!(1e300), json!("a"), json!("msg_1")];
    let values: Vec<&Value> = values.iter().chain([&deep, &wide]).collect();
    let names =
        text.split('$').skip(1).map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap());
    let given: serde_json::Map<String, Value> =
        names.filter(|_| dice.below(8) > 0).map(|name| (name.to_owned(), Value::Null)).collect();
    let given = given.into_iter().map(|(name, _)| (name, dice.pick(&values).clone()));
    Variables::from_json(Value::Object(given.collect()))
}

/// The response without the locations of errors, which depend on insignificant characters.
fn without_locations(mut response: Response) -> (async_graphql::Value, Vec<ServerError>) {
    response.errors.iter_mut().for_each(|error| error.locations.clear());
    (response.data, response.errors)
}

struct Fuzz {
    runtime: Runtime,
    toy: Toy,
    validated_toy: Toy,
    sdls: [String; 2],
    slowest: (Duration, String),
    valid: u64,
}

impl Fuzz {
    fn run(&self, executor: &impl Executor, text: &str, variables: &Variables) -> Response {
        let request = Request::new(text).variables(variables.clone()).data(Arc::new(Count::default()));
        self.runtime.block_on(executor.execute(request))
    }

    fn documents(&self, schema: usize) -> Documents {
        Documents::new(&self.sdls[schema], Limits::default()).unwrap()
    }

    /// Runs only the layer; no field is executed.
    fn layer(&mut self, documents: &Documents, schema: usize, text: &str, variables: &Variables) -> Response {
        let layer = Conforming::new(Through, documents.clone());
        let start = Instant::now();
        let response = self.run(&layer, text, variables);
        let mut time = start.elapsed();
        if text.len() > KILOBYTE {
            return response;
        }
        // Measured again, because other processes can delay a run.
        for _ in 0..20 {
            if time < BOUND * SLACK / 5 {
                break;
            }
            let layer = Conforming::new(Through, self.documents(schema));
            let start = Instant::now();
            drop(self.run(&layer, text, variables));
            time = time.min(start.elapsed());
        }
        assert!(time < BOUND * SLACK, "it takes {time:?}");
        if time > self.slowest.0 {
            self.slowest = (time, text.to_owned());
        }
        response
    }

    fn check(&mut self, documents: &[Documents; 2], text: &str, variables: &Variables) {
        for (schema, documents) in documents.iter().enumerate() {
            let response = self.layer(documents, schema, text, variables);
            if is_request_error(&response) {
                assert!(response.errors.iter().all(|error| error.extensions.is_some()), "{:?}", response.errors);
            }
            self.valid += u64::from(response.errors.is_empty());
            // The second run uses the cached document, the third an equivalent document with insignificant characters.
            let first = without_locations(response);
            assert_eq!(without_locations(self.layer(documents, schema, text, variables)), first);
            let padded = format!("\u{feff},\n{text}\n,#");
            assert_eq!(
                without_locations(self.run(&Conforming::new(Through, documents.clone()), &padded, variables)),
                first
            );
        }
        let exact = Conforming::new(self.toy.clone(), documents[0].clone());
        let first = self.run(&exact, text, variables);
        let again = self.run(&exact, text, variables);
        assert_eq!(first.data, again.data);
        let validated = self.run(&Conforming::new(self.validated_toy.clone(), documents[0].clone()), text, variables);
        assert_eq!(is_request_error(&first), is_request_error(&validated));
        assert_eq!(first.data, validated.data);
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the number of documents and the slowest one")]
fn no_document_panics_or_is_slow() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let time = Duration::from_secs(setting("DOCUMENT_FUZZ_SECONDS").unwrap_or(5));
    let seed = setting("DOCUMENT_FUZZ_SEED").unwrap_or(1);
    let toy = toy::schema();
    let sdls = [toy.sdl(), duologue::app::schema()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let validated_toy = toy::with_validation(ValidationMode::Strict);
    let mut fuzz = Fuzz { runtime, toy, validated_toy, sdls, slowest: Default::default(), valid: 0 };
    let documents = [fuzz.documents(0), fuzz.documents(1)];
    let seeds = seeds(&[&documents[0], &documents[1]]);
    assert!(seeds.len() > 100, "only {} documents found", seeds.len());
    let seeds: Vec<Vec<&str>> = seeds.iter().map(|seed| tokens(seed)).collect();
    let names: BTreeSet<&str> = fuzz.sdls.iter().flat_map(|sdl| tokens(sdl)).collect();
    let names: Vec<String> = names.into_iter().filter(|name| name.len() > 1).map(|name| format!(" {name} ")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let seeds: Vec<&[&str]> = seeds.iter().map(Vec::as_slice).collect();

    let (mut dice, mut tried) = (Dice(seed), 0_u64);
    let start = Instant::now();
    while start.elapsed() < time {
        let text = mutated(&mut dice, &seeds, &names);
        let variables = variables(&mut dice, &text);
        let outcome = catch_unwind(AssertUnwindSafe(|| fuzz.check(&documents, &text, &variables)));
        assert!(outcome.is_ok(), "document {tried} of seed {seed}, {variables:?}:\n{text}");
        tried += 1;
    }
    let (slowest, text) = fuzz.slowest;
    println!(
        "{} seeds, {tried} documents, {} times valid; the slowest kilobyte took {slowest:?}:\n{text}",
        seeds.len(),
        fuzz.valid
    );
    assert!(fuzz.valid > tried / 50, "only {} of {tried} documents are valid: fewer mutations are needed", fuzz.valid);
}
