import { useGraphiQL } from "@graphiql/react";
import { GraphiQL } from "graphiql";
import { useEffect } from "react";
import { Account } from "./account";
import { examples } from "./examples";
import { fetcher } from "./fetcher";
import { ReplyPanel } from "./reply-panel";
import { activeTab, storage, storeTabs } from "./tabs";

/**
 * GraphiQL with a sign-in. Its state is stored in sessionStorage. Its history is off, because variables can contain
 * passwords.
 */
export function Playground() {
  return (
    <>
      <header className="bar">
        <h1>
          duologue <small>playground</small>
        </h1>
        <p>One GraphQL schema: sign in, send a message, watch the reply arrive.</p>
        <Account />
      </header>
      <main>
        <GraphiQL
          fetcher={fetcher}
          defaultTabs={examples}
          defaultEditorToolsVisibility="variables"
          plugins={[]}
          showPersistHeadersSettings={false}
          schemaDescription
          inputValueDeprecation
          initialQuery={activeTab?.query ?? ""}
          initialVariables={activeTab?.variables ?? ""}
          onTabChange={storeTabs}
          storage={storage}
        >
          <GraphiQL.Logo>{null}</GraphiQL.Logo>
          <GraphiQL.Footer>
            <WrappedLines />
            <ReplyPanel />
          </GraphiQL.Footer>
        </GraphiQL>
      </main>
    </>
  );
}

/** Wraps the long lines of operations, so that narrow editors show whole comments. */
function WrappedLines() {
  const editor = useGraphiQL(({ queryEditor }) => queryEditor);
  useEffect(() => editor?.updateOptions({ wordWrap: "on" }), [editor]);
  return null;
}
