// Generates documents and the results of graphql-js for them, as one line of JSON each: node generate.mjs SEED COUNT
// Documents are valid by construction; then the tokens of about a third of them are changed at random.

import { execute, GraphQLError, parse, validate, specifiedRules, getNamedType, isAbstractType, isCompositeType, isEnumType, isInputObjectType, isListType, isNonNullType, isScalarType, isObjectType, Lexer, Source, TokenKind } from "graphql";
import { root, schema } from "./schema.mjs";

const [seed, count] = process.argv.slice(2).map(Number);

// mulberry32
let state = 0;
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = (n) => Math.floor(random() * n);
const chance = (p) => random() < p;
const pick = (items) => items[below(items.length)];

class Generator {
  constructor() {
    this.variables = new Map();
    this.fragments = new Map();
    this.aliases = 0;
    this.budget = 40;
  }

  // A literal or a variable, as the type allows.
  value(type, hasDefault, depth = 0) {
    if (chance(0.3)) return this.variable(type, hasDefault);
    return this.literal(type, depth, true);
  }

  literal(type, depth, withVariables) {
    if (isNonNullType(type)) return this.literalOf(type.ofType, depth, withVariables);
    if (chance(0.12)) return "null";
    return this.literalOf(type, depth, withVariables);
  }

  literalOf(type, depth, withVariables) {
    if (isListType(type)) {
      if (chance(0.2) && !isListType(type.ofType)) return this.literalOf(getNamedType(type), depth, withVariables);
      const item = () => (withVariables && chance(0.2) ? this.variable(type.ofType, false) : this.literal(type.ofType, depth, withVariables));
      return `[${Array.from({ length: below(4) }, item).join(chance(0.5) ? ", " : " ")}]`;
    }
    if (isEnumType(type)) return pick(type.getValues()).name;
    if (isInputObjectType(type)) {
      const parts = [];
      for (const field of Object.values(type.getFields())) {
        const isRequired = isNonNullType(field.type) && field.defaultValue === undefined;
        if (!isRequired && (chance(0.5) || depth > 2)) continue;
        const value = withVariables && chance(0.2) ? this.variable(field.type, field.defaultValue !== undefined) : this.literal(field.type, depth + 1, withVariables);
        parts.push(`${field.name}: ${value}`);
      }
      return `{${parts.join(", ")}}`;
    }
    return { Int: () => String(below(20) - 3), Float: () => pick(["1", "2.5", "-0.5", "3e1"]), String: () => pick(['"a"', '""', '"""\n  block\n    text\n"""', '"\\u00e9\\n"']), Boolean: () => pick(["true", "false"]), ID: () => pick([`"${below(30)}"`, String(below(30)), '"x"']) }[type.name]();
  }

  variable(type, hasDefault) {
    const wanted = type.toString();
    const name = chance(0.5) && [...this.variables].find(([, v]) => v.wanted === wanted)?.[0];
    if (name) return `$${name}`;
    const fresh = `v${this.variables.size}`;
    const definition = { wanted, type, mayBeNull: true, default: undefined, declared: wanted };
    if (isNonNullType(type)) {
      definition.mayBeNull = false;
      if (chance(0.5)) {
        const inner = type.ofType;
        // A nullable variable is allowed in a non-null position if the position or the variable has a default value.
        if (!hasDefault || chance(0.5)) definition.default = this.literalOf(inner, 0, false);
        definition.declared = inner.toString();
      }
    } else {
      if (chance(0.3)) definition.declared = `${wanted}!`;
      if (chance(0.4)) definition.default = this.literalOf(type, 0, false);
      if (definition.declared.endsWith("!") || definition.default !== undefined) definition.mayBeNull = false;
    }
    this.variables.set(fresh, definition);
    // A variable without a default value can be used again only in positions with one.
    if (isNonNullType(type) && hasDefault && definition.default === undefined && !definition.declared.endsWith("!")) definition.wanted = `${wanted} with default`;
    return `$${fresh}`;
  }

  json(type) {
    if (isNonNullType(type)) return this.jsonOf(type.ofType);
    return chance(0.1) ? null : this.jsonOf(type);
  }

  jsonOf(type) {
    if (isListType(type)) return chance(0.2) ? this.jsonOf(getNamedType(type)) : Array.from({ length: below(4) }, () => this.json(type.ofType));
    if (isEnumType(type)) return pick(type.getValues()).name;
    if (isInputObjectType(type)) {
      const value = {};
      for (const field of Object.values(type.getFields())) {
        const isRequired = isNonNullType(field.type) && field.defaultValue === undefined;
        if (isRequired || chance(0.4)) value[field.name] = field.name === "inner" && chance(0.7) ? null : this.json(field.type);
      }
      return value;
    }
    return { Int: () => below(20) - 3, Float: () => pick([1, 2.5, -0.5]), String: () => pick(["a", "", "é"]), Boolean: () => chance(0.5), ID: () => pick([String(below(30)), below(30), "x"]) }[type.name]();
  }

  values() {
    const values = {};
    for (const [name, v] of this.variables) {
      const isRequired = v.declared.endsWith("!") && v.default === undefined;
      const mistake = chance(0.03);
      if (mistake) {
        // An explicit null for a nullable variable with a default value is a field error in graphql-js, but a request error
        // in duologue, so it is not generated.
        const mayNull = v.mayBeNull || v.declared.endsWith("!");
        if (chance(0.3)) values[name] = pick([...(mayNull ? [null] : []), "wrong", 1.5, 3000000000, true, [], {}, { x: "a" }, { x: 1, z: 2 }]);
        continue;
      }
      if (!isRequired && chance(0.4)) continue;
      if (v.mayBeNull && chance(0.2)) values[name] = null;
      else values[name] = this.jsonOf(isNonNullType(v.type) ? v.type.ofType : v.type);
      if (typeof values[name] === "object" && values[name] === null && !v.mayBeNull) delete values[name];
    }
    if (chance(0.05)) values.unknown = 1;
    return values;
  }

  directives() {
    if (!chance(0.15)) return "";
    const condition = chance(0.5) ? pick(["true", "false"]) : this.variable(schema.getDirective("skip").args[0].type, false);
    const first = pick(["skip", "include"]);
    const second = chance(0.2) ? ` @${first === "skip" ? "include" : "skip"}(if: ${pick(["true", "false"])})` : "";
    return ` @${first}(if: ${condition})${second}`;
  }

  field(parent, depth) {
    this.budget -= 1;
    if (chance(0.08)) return `${chance(0.3) ? `t${below(2)}: ` : ""}__typename${this.directives()}`;
    const fields = Object.values(parent.getFields()).filter((field) => depth > 0 || !isCompositeType(getNamedType(field.type)));
    if (fields.length === 0) return "__typename";
    const field = pick(fields);
    // Fields mostly keep their name as response key, so that equal keys are merged. Fields with arguments get unique
    // aliases, because different arguments cannot be merged.
    const args = field.args.map((arg) => {
      const isRequired = isNonNullType(arg.type) && arg.defaultValue === undefined;
      return isRequired || chance(0.4) ? `${arg.name}: ${this.value(arg.type, arg.defaultValue !== undefined)}` : undefined;
    }).filter(Boolean);
    const alias = args.length > 0 ? `a${this.aliases++}: ` : chance(0.1) ? `${field.name}_${parent.name === "Leaf" ? 1 : 0}: ` : "";
    const inside = isCompositeType(getNamedType(field.type)) ? ` ${this.set(getNamedType(field.type), depth - 1)}` : "";
    return `${alias}${field.name}${args.length ? `(${args.join(", ")})` : ""}${this.directives()}${inside}`;
  }

  set(parent, depth) {
    const items = [];
    const length = 1 + below(4);
    for (let i = 0; i < length && (i === 0 || this.budget > 0); i += 1) {
      if (chance(0.3)) items.push(this.spread(parent, depth));
      else if ("getFields" in parent) items.push(this.field(parent, depth));
      else items.push("__typename");
    }
    return `{ ${items.join(chance(0.5) ? " " : "\n")} }`;
  }

  spread(parent, depth) {
    const candidates = ["Thing", "Leaf", "Branch", "Stone", "Either", "Query", "Mutation", "Counter"]
      .map((name) => schema.getType(name))
      .filter((type) => overlaps(type, parent));
    const on = pick(candidates);
    if (this.budget <= 0) return "__typename";
    if (chance(0.4)) {
      const isBare = chance(0.2);
      return `...${isBare ? "" : ` on ${on}`}${this.directives()} ${this.set(isBare ? parent : on, depth)}`;
    }
    const known = [...this.fragments].filter(([, f]) => f.body && f.on === on && f.depth <= depth);
    if (known.length && chance(0.5)) return `...${pick(known)[0]}${this.directives()}`;
    const name = `F${this.fragments.size}`;
    const fragment = { on, depth, body: undefined };
    this.fragments.set(name, fragment);
    fragment.body = this.set(on, depth);
    return `...${name}${this.directives()}`;
  }

  document() {
    const isMutation = chance(0.15);
    const type = isMutation ? schema.getMutationType() : schema.getQueryType();
    const body = this.set(type, 3);
    const definitions = [...this.variables].map(([name, v]) => `$${name}: ${v.declared}${v.default === undefined ? "" : ` = ${v.default}`}`);
    const head = `${isMutation ? "mutation" : "query"} Main${definitions.length ? `(${definitions.join(", ")})` : ""}`;
    const fragments = [...this.fragments].map(([name, f]) => `fragment ${name} on ${f.on} ${f.body}`);
    const parts = [`${head} ${body}`, ...fragments];
    if (chance(0.1)) parts.push("query Other { leaf { id } }");
    if (chance(0.3)) parts.reverse();
    return parts.join("\n");
  }
}

function overlaps(one, other) {
  const types = (type) => (isAbstractType(type) ? schema.getPossibleTypes(type) : [type]);
  return types(one).some((type) => types(other).includes(type));
}

function tokens(text) {
  const lexer = new Lexer(new Source(text));
  const found = [];
  for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
    if (token.kind !== TokenKind.COMMENT) found.push(text.slice(token.start, token.end));
  }
  return found;
}

const WORDS = ["{", "}", "(", ")", "[", "]", ":", "!", "...", "@skip(if: true)", "@include", "@other", "$v0", "on Leaf", "on Stone", "on Nothing", "id", "name", "strict: name", "name: strict", "next", "kin { id }", "leaf", "x: 1", "null", "1", "2.5", '"a"', "RED", "true", "...F0", "...F9", "fragment F0 on Leaf { id }", "__typename", "mutation", "fragment", "=", "0x", '"', "#", "__schema { queryType { name } }", '__type(name: "Leaf") { name kind fields { name } }', "__type(name: 1) { name }", "Int", "[ID]"];

function broken(text) {
  const parts = tokens(text);
  for (let i = 1 + below(2); i > 0; i -= 1) {
    const at = below(parts.length);
    const kind = below(4);
    if (kind === 0) parts.splice(at, 1);
    else if (kind === 1) parts.splice(at, 0, pick(WORDS));
    else if (kind === 2) parts[at] = pick(chance(0.5) ? WORDS : parts);
    else parts.splice(at, 0, parts[below(parts.length)]);
  }
  return parts.join(" ");
}

async function answer(document, variables, operationName) {
  let ast;
  try {
    ast = parse(document);
  } catch (error) {
    if (error instanceof GraphQLError) return { refused: error.message };
    throw error;
  }
  const [error] = validate(schema, ast, specifiedRules);
  if (error) return { refused: error.message };
  const result = await execute({ schema, document: ast, rootValue: root(), variableValues: variables, operationName });
  if (!("data" in result)) return { refused: result.errors[0].message };
  return { data: result.data, errors: (result.errors ?? []).map((error) => ({ path: error.path, message: error.message })) };
}

for (let i = 0; i < count; i += 1) {
  state = (seed * 1000003 + i) | 0;
  const generator = new Generator();
  let document = generator.document();
  const variables = generator.values();
  if (chance(0.35)) document = broken(document);
  const operationName = chance(0.9) ? "Main" : null;
  const expected = await answer(document, variables, operationName);
  process.stdout.write(`${JSON.stringify({ number: i, document, variables, operationName, ...expected })}\n`);
}
