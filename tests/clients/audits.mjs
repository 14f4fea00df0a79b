// Runs all audits of GraphQL over HTTP (npm graphql-http) and prints their results as JSON: node audits.mjs URL

import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2], fetchFn: fetch });
console.log(JSON.stringify(results.map(({ id, name, status }) => ({ id, name, status }))));
