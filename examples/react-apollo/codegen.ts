import type { CodegenConfig } from "@graphql-codegen/cli";

export default {
  // Outside of this repository: a file with the output of `duologue schema`, or the address of a server.
  schema: process.env.SCHEMA ?? "../../schema.graphql",
  documents: "src/**/*.tsx",
  generates: {
    "src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        scalars: { DateTime: "string", JSON: "unknown", Microdollars: "number", Count: "number" },
        useTypeImports: true,
      },
    },
  },
} satisfies CodegenConfig;
