//! The schema of the differential test. `tests/clients/differential/schema.mjs` is the same schema for graphql-js.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use async_graphql::{
    Context, EmptySubscription, Enum, Error, ID, InputObject, Interface, MaybeUndefined, Object, Result, Schema, Union,
    ValidationMode,
};

pub type Toy = Schema<Query, Mutation, EmptySubscription>;

/// Without the validation of async-graphql, like the schema of the server.
pub fn schema() -> Toy {
    with_validation(ValidationMode::Fast)
}

pub fn with_validation(mode: ValidationMode) -> Toy {
    Schema::build(Query, Mutation, EmptySubscription).validation_mode(mode).limit_recursive_depth(200).finish()
}

/// The counter of one operation.
#[derive(Default)]
pub struct Count(AtomicI32);

/// Yields a varying number of times, so that fields are resolved in varying order.
async fn suspend() {
    static TURN: AtomicU64 = AtomicU64::new(1);
    // A linear congruential generator (Knuth, MMIX).
    let next = |turn: u64| Some(turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    let turn = TURN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap();
    for _ in 0..(turn >> 60) % 4 {
        tokio::task::yield_now().await;
    }
}

fn fails(n: i32, salt: i32, modulus: i32) -> bool {
    (n * 7 + salt * 3).rem_euclid(modulus) == 0
}

fn failing<T>(n: i32, salt: i32, modulus: i32, value: T) -> Result<T> {
    if fails(n, salt, modulus) { Err(Error::new("failed")) } else { Ok(value) }
}

fn below(n: i32, k: i32) -> i32 {
    (n * 2 + k) % 97
}

fn number(id: &str) -> Option<i32> {
    id.parse().ok().filter(|n| (0..1_000).contains(n)).map(|n: i32| n % 97)
}

fn found(id: &ID) -> Result<i32> {
    number(id).ok_or_else(|| Error::new("failed"))
}

fn thing(n: i32) -> Thing {
    if n % 2 == 0 { Leaf(n).into() } else { Branch(n).into() }
}

fn either(n: i32) -> Option<Either> {
    match n % 3 {
        0 => None,
        1 => Some(Stone(n).into()),
        _ => Some(Leaf(n * 2 % 98).into()),
    }
}

fn item(n: i32, k: i32) -> Option<Result<Thing>> {
    if fails(n, k, 6) { None } else { Some(failing(n, k, 10, thing(n))) }
}

fn sure(n: i32, k: i32) -> Result<Thing> {
    failing(n, k, 12, thing(n))
}

fn name(n: i32) -> Result<Option<String>> {
    failing(n, 1, 5, (n % 4 != 0).then(|| format!("name {n}")))
}

fn kin(n: i32) -> Option<Vec<Option<Result<Thing>>>> {
    (n % 6 != 1).then(|| (0..3).map(|k| item(below(n, k), k)).collect())
}

#[derive(Interface)]
#[graphql(
    field(name = "id", ty = "ID"),
    field(name = "name", ty = "Option<String>"),
    field(name = "strict", ty = "String"),
    field(name = "next", ty = "Option<Thing>"),
    field(name = "kin", ty = "Option<Vec<Option<Result<Thing>>>>")
)]
pub enum Thing {
    Leaf(Leaf),
    Branch(Branch),
}

pub struct Leaf(i32);

#[Object]
impl Leaf {
    async fn id(&self) -> ID {
        suspend().await;
        self.0.into()
    }

    async fn name(&self) -> Result<Option<String>> {
        suspend().await;
        name(self.0)
    }

    async fn strict(&self) -> Result<String> {
        suspend().await;
        failing(self.0, 2, 11, format!("strict {}", self.0))
    }

    async fn next(&self) -> Result<Option<Thing>> {
        suspend().await;
        failing(self.0, 3, 7, (self.0 % 5 != 0).then(|| thing(below(self.0, 1))))
    }

    async fn kin(&self) -> Option<Vec<Option<Result<Thing>>>> {
        suspend().await;
        kin(self.0)
    }

    async fn color(&self) -> Result<Option<Color>> {
        suspend().await;
        let color = [Color::Red, Color::Green, Color::Blue][usize::try_from(self.0 % 3)?];
        failing(self.0, 4, 9, Some(color))
    }

    async fn weight(&self, #[graphql(default = 2.0)] scale: f64) -> Result<Option<f64>> {
        suspend().await;
        failing(self.0, 5, 8, Some(f64::from(self.0) * scale))
    }
}

pub struct Branch(i32);

#[Object]
impl Branch {
    async fn id(&self) -> ID {
        suspend().await;
        self.0.into()
    }

    async fn name(&self) -> Result<Option<String>> {
        suspend().await;
        name(self.0)
    }

    async fn strict(&self) -> Result<String> {
        suspend().await;
        failing(self.0, 2, 11, format!("strict {}", self.0))
    }

    async fn next(&self) -> Result<Thing> {
        suspend().await;
        failing(self.0, 3, 9, thing(below(self.0, 1)))
    }

    async fn kin(&self) -> Option<Vec<Option<Result<Thing>>>> {
        suspend().await;
        kin(self.0)
    }

    async fn children(&self, #[graphql(default = 2)] first: Option<i32>) -> Vec<Result<Thing>> {
        suspend().await;
        (0..first.unwrap_or(0).clamp(0, 4)).map(|k| sure(below(self.0, k), k)).collect()
    }

    async fn firm(&self) -> Option<Vec<Result<Thing>>> {
        suspend().await;
        Some((0..2).map(|k| sure(below(self.0, k + 2), k)).collect())
    }

    async fn either(&self) -> Option<Either> {
        suspend().await;
        either(self.0)
    }

    async fn leaf(&self) -> Result<Leaf> {
        suspend().await;
        failing(self.0, 6, 13, Leaf(self.0 * 2 % 98))
    }
}

pub struct Stone(pub i32);

#[Object]
impl Stone {
    async fn mass(&self) -> Result<Option<i32>> {
        suspend().await;
        failing(self.0, 1, 4, Some(self.0))
    }

    async fn sure(&self) -> Result<i32> {
        suspend().await;
        failing(self.0, 2, 6, self.0)
    }
}

#[derive(Union)]
pub enum Either {
    Leaf(Leaf),
    Stone(Stone),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum Color {
    Red,
    Green,
    Blue,
}

impl Color {
    fn show(self) -> String {
        format!("{self:?}").to_uppercase()
    }
}

#[derive(InputObject)]
pub struct Point {
    x: i32,
    #[graphql(default = 7)]
    y: Option<i32>,
    label: MaybeUndefined<String>,
    inner: MaybeUndefined<Box<Point>>,
    colors: MaybeUndefined<Vec<Color>>,
}

impl Point {
    fn show(&self) -> String {
        let mut parts = vec![format!("x:{}", self.x), format!("y:{}", or_null(self.y))];
        parts.extend(part("label:", &self.label, Clone::clone));
        parts.extend(part("inner:", &self.inner, |inner| inner.show()));
        parts.extend(part("colors:", &self.colors, |colors| list(colors, |color| color.show())));
        format!("{{{}}}", parts.join(","))
    }
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(","))
}

fn part<T>(key: &str, value: &MaybeUndefined<T>, show: impl Fn(&T) -> String) -> Option<String> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(format!("{key}null")),
        MaybeUndefined::Value(value) => Some(format!("{key}{}", show(value))),
    }
}

pub struct Counter(i32);

#[Object]
impl Counter {
    async fn value(&self) -> Result<i32> {
        suspend().await;
        failing(self.0, 1, 6, self.0)
    }

    async fn thing(&self) -> Result<Option<Thing>> {
        suspend().await;
        failing(self.0, 2, 5, Some(thing(self.0.abs() % 97)))
    }
}

pub struct Query;

#[Object]
impl Query {
    async fn thing(&self, id: ID) -> Result<Option<Thing>> {
        suspend().await;
        Ok(Some(thing(found(&id)?)))
    }

    async fn things(&self, ids: Vec<ID>) -> Vec<Option<Thing>> {
        suspend().await;
        ids.iter().map(|id| number(id).map(thing)).collect()
    }

    async fn either(&self, #[graphql(default = 3)] id: ID) -> Result<Option<Either>> {
        suspend().await;
        Ok(either(found(&id)?))
    }

    async fn leaf(&self) -> Leaf {
        suspend().await;
        Leaf(4)
    }

    async fn branch(&self) -> Option<Branch> {
        suspend().await;
        Some(Branch(3))
    }

    async fn grid(&self) -> Option<Vec<Vec<Option<Stone>>>> {
        suspend().await;
        Some(vec![vec![Some(Stone(1)), None, Some(Stone(2))], vec![Some(Stone(5))], vec![]])
    }

    #[expect(clippy::too_many_arguments, reason = "one argument of each kind")]
    async fn echo(
        &self,
        int: MaybeUndefined<i32>,
        float: MaybeUndefined<f64>,
        #[graphql(default_with = "Some(\"hi\".to_owned())")] text: Option<String>,
        #[graphql(default = true)] flag: bool,
        color: MaybeUndefined<Color>,
        point: MaybeUndefined<Point>,
        list: MaybeUndefined<Vec<i32>>,
        must: i32,
    ) -> Option<String> {
        suspend().await;
        let mut parts = Vec::new();
        parts.extend(part("int=", &int, ToString::to_string));
        parts.extend(part("float=", &float, ToString::to_string));
        parts.push(format!("text={}", or_null(text)));
        parts.push(format!("flag={flag}"));
        parts.extend(part("color=", &color, |color| color.show()));
        parts.extend(part("point=", &point, Point::show));
        parts.extend(part("list=", &list, |items| self::list(items, ToString::to_string)));
        parts.push(format!("must={must}"));
        Some(parts.join(";"))
    }

    async fn names(&self, ids: Option<Vec<Option<ID>>>) -> Option<Vec<Option<Result<String>>>> {
        suspend().await;
        let name = |id: ID| match number(&id) {
            Some(_) => Ok(format!("name {}", id.as_str())),
            None => Err(Error::new("failed")),
        };
        Some(ids.unwrap_or_default().into_iter().map(|id| id.map(name)).collect())
    }

    async fn fails(&self) -> Result<Option<String>> {
        suspend().await;
        Err(Error::new("failed"))
    }
}

pub struct Mutation;

impl Mutation {
    fn count(context: &Context<'_>, n: i32) -> Counter {
        let count = context.data_unchecked::<Arc<Count>>();
        Counter(count.0.fetch_add(n, Ordering::SeqCst) + n)
    }
}

#[Object]
impl Mutation {
    async fn add(&self, context: &Context<'_>, #[graphql(default = 1)] n: i32) -> Option<Counter> {
        suspend().await;
        Some(Self::count(context, n))
    }

    async fn add_hard(&self, context: &Context<'_>, n: i32) -> Result<Counter> {
        suspend().await;
        let counter = Self::count(context, n);
        failing(n, 1, 4, counter)
    }

    async fn fail(&self) -> Result<Option<Counter>> {
        suspend().await;
        Err(Error::new("failed"))
    }
}
