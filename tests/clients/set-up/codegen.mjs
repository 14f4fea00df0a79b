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
    // All types of the schema, for those that no document selects, such as ErrorExtensions (`extensions` of an error).
    "src/schema.ts": { plugins: ["typescript"], config },
  },
};
