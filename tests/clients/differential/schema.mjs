// The schema of the differential test. tests/it/document/toy.rs implements the same schema with the same resolvers.

import { buildSchema } from "graphql";

export const sdl = `
  enum Color { RED GREEN BLUE }
  input Point { x: Int! y: Int = 7 label: String inner: Point colors: [Color!] }
  interface Thing { id: ID! name: String strict: String! next: Thing kin: [Thing] }
  type Leaf implements Thing {
    id: ID! name: String strict: String! next: Thing kin: [Thing]
    color: Color weight(scale: Float! = 2): Float
  }
  type Branch implements Thing {
    id: ID! name: String strict: String! next: Thing! kin: [Thing]
    children(first: Int = 2): [Thing!]! firm: [Thing!] either: Either leaf: Leaf!
  }
  type Stone { mass: Int sure: Int! }
  union Either = Leaf | Stone
  type Counter { value: Int! thing: Thing }
  type Query {
    thing(id: ID!): Thing
    things(ids: [ID!]!): [Thing]!
    either(id: ID! = 3): Either
    leaf: Leaf!
    branch: Branch
    grid: [[Stone]!]
    echo(int: Int, float: Float, text: String = "hi", flag: Boolean! = true, color: Color, point: Point, list: [Int!], must: Int!): String
    names(ids: [ID]): [String]
    fails: String
  }
  type Mutation { add(n: Int! = 1): Counter fail: Counter addHard(n: Int!): Counter! }
`;

export const schema = buildSchema(sdl);

const fails = (n, salt, modulus) => (n * 7 + salt * 3) % modulus === 0;
const failing = (n, salt, modulus, value) => {
  if (fails(n, salt, modulus)) throw new Error("failed");
  return value;
};
const below = (n, k) => (n * 2 + k) % 97;

function thing(n) {
  const common = {
    id: String(n),
    name: () => failing(n, 1, 5, n % 4 === 0 ? null : `name ${n}`),
    strict: () => failing(n, 2, 11, `strict ${n}`),
    kin: () => (n % 6 === 1 ? null : [0, 1, 2].map((k) => item(below(n, k), k))),
  };
  if (n % 2 === 0) {
    return {
      ...common,
      __typename: "Leaf",
      next: () => failing(n, 3, 7, n % 5 === 0 ? null : thing(below(n, 1))),
      color: () => failing(n, 4, 9, ["RED", "GREEN", "BLUE"][n % 3]),
      weight: ({ scale }) => failing(n, 5, 8, n * scale),
    };
  }
  return {
    ...common,
    __typename: "Branch",
    next: () => failing(n, 3, 9, thing(below(n, 1))),
    children: ({ first }) =>
      first === undefined || first === null ? [] : Array.from({ length: Math.max(0, Math.min(first, 4)) }, (_, k) => sure(below(n, k), k)),
    firm: () => [0, 1].map((k) => sure(below(n, k + 2), k)),
    either: () => either(n),
    leaf: () => failing(n, 6, 13, thing((n * 2) % 98)),
  };
}

// An item of a list with nullable items: sometimes null, sometimes an error.
const item = (n, k) => (fails(n, k, 6) ? null : fails(n, k, 10) ? new Error("failed") : thing(n));
const sure = (n, k) => (fails(n, k, 12) ? new Error("failed") : thing(n));
const stone = (n) => ({
  __typename: "Stone",
  mass: () => failing(n, 1, 4, n),
  sure: () => failing(n, 2, 6, n),
});
const either = (n) => (n % 3 === 0 ? null : n % 3 === 1 ? stone(n) : thing((n * 2) % 98));

const number = (id) => {
  const n = Number(id);
  return Number.isInteger(n) && n >= 0 && n < 1000 ? n % 97 : undefined;
};
const found = (id) => {
  const n = number(id);
  if (n === undefined) throw new Error("failed");
  return n;
};

function show(value) {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return `[${value.map(show).join(",")}]`;
  if (typeof value === "object") {
    return `{${["x", "y", "label", "inner", "colors"].filter((key) => key in value).map((key) => `${key}:${show(value[key])}`).join(",")}}`;
  }
  return String(value);
}

export function root() {
  let counter = 0;
  const add = (n) => {
    counter += n;
    const value = counter;
    return { value: () => failing(value, 1, 6, value), thing: () => failing(value, 2, 5, thing(Math.abs(value) % 97)) };
  };
  return {
    thing: ({ id }) => thing(found(id)),
    things: ({ ids }) => ids.map((id) => (number(id) === undefined ? null : thing(number(id)))),
    either: ({ id }) => either(found(id)),
    leaf: () => thing(4),
    branch: () => thing(3),
    grid: () => [[stone(1), null, stone(2)], [stone(5)], []],
    echo: (given) =>
      ["int", "float", "text", "flag", "color", "point", "list", "must"]
        .filter((key) => key in given)
        .map((key) => `${key}=${show(given[key])}`)
        .join(";"),
    names: ({ ids }) => (ids ?? []).map((id) => (id === null ? null : number(id) === undefined ? new Error("failed") : `name ${id}`)),
    fails: () => {
      throw new Error("failed");
    },
    add: ({ n }) => add(n),
    addHard: ({ n }) => failing(n, 1, 4, add(n)),
    fail: () => {
      throw new Error("failed");
    },
  };
}
