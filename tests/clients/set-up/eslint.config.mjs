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
      // `User.username` is a standard name. ErrorExtensions describes `extensions` of errors, so no field returns it.
      "@graphql-eslint/no-typename-prefix": "off",
      "@graphql-eslint/no-unreachable-types": "off",
      // Connections have `nodes` in addition to `edges`, and some short lists are not connections. MessageSearchHit is not a
      // Node, and the pages of a search go forward only.
      "@graphql-eslint/relay-edge-types": ["error", { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false }],
      "@graphql-eslint/relay-arguments": ["error", { includeBoth: false }],
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            suffixes: ["Payload", "Connection", "Edge", "Part"],
            types: [
              "PageInfo", "ErrorExtensions", "FieldError",
              "TokenUsage", "ContextUsage", "PromptMessage", "PromptPreview", "Quota", "SystemStats", "UsageBucket", "UserStats",
              "ReplyError", "ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished",
              "EventsStarted", "ChatAdded", "ChatChanged", "ChatDeleted", "MessageAdded", "MessageChanged", "MessageRemoved",
              "DirectMessageReceived", "ConversationRead", "MessageSearchHit",
            ],
          },
        },
      ],
    },
  },
];
