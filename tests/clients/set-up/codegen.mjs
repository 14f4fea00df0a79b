const config = {
  scalars: { DateTime: "string", JSON: "unknown", Microdollars: "number", Count: "number" },
  enumsAsTypes: true,
  useTypeImports: true,
};

// npx graphql-codegen --config codegen.mjs
export default {
  schema: "schema.graphql", // or http://127.0.0.1:8000/graphql
  documents: "src/**/*.ts",
  generates: {
    "src/gql/": { preset: "client", config },
    // The whole schema, for what no document names: ErrorExtensions is what `extensions` of an error holds.
    "src/schema.ts": { plugins: ["typescript"], config },
  },
};
