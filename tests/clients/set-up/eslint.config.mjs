import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/schema.graphql"],
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: "schema.graphql" } } },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,
      "@graphql-eslint/description-style": "off",
      // `username` is what everybody calls it, and ErrorExtensions describes what errors hold: no field returns it.
      "@graphql-eslint/no-typename-prefix": "off",
      "@graphql-eslint/no-unreachable-types": "off",
      // Connections have `nodes` beside `edges`, and lists without pages are capped.
      "@graphql-eslint/relay-edge-types": ["error", { withEdgeSuffix: true, shouldImplementNode: true, listTypeCanWrapOnlyEdgeType: false }],
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            suffixes: ["Payload", "Connection", "Edge", "Part"],
            types: ["PageInfo", "TokenUsage", "ReplyError", "ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished", "ErrorExtensions", "FieldError"],
          },
        },
      ],
    },
  },
];
