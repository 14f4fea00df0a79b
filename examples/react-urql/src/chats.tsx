import { useSyncExternalStore } from "react";
import { useQuery } from "urql";
import { Chat } from "./chat";
import { graphql } from "./gql";
import { onEvent, signOut } from "./session";

const CHATS = graphql(`
  query Chats {
    me { id username chats(first: 50) { nodes { id title } } }
    models { id displayName isDefault isAvailable }
  }
`);

// The document cache repeats a query when a type in its result changes. An empty list contains no chat, so the type is
// named here.
const context = { additionalTypenames: ["Chat"] };

const onHash = onEvent("hashchange");

/** The list of chats, and the open chat, whose id is the fragment of the address. */
export function Chats() {
  const [{ data, error }, reload] = useQuery({ query: CHATS, context });
  const open = useSyncExternalStore(onHash, () => location.hash.slice(1)) || null;
  return (
    <>
      <nav aria-label="Chats">
        <a href="#">New chat</a>
        {data?.me?.chats?.nodes.map(({ id, title }) => (
          <a key={id} href={`#${id}`} aria-current={id === open}>{title ?? "Untitled"}</a>
        ))}
        <footer>{data?.me?.username} <button className="quiet" onClick={() => void signOut()}>Sign out</button></footer>
      </nav>
      <main>
        {error && <p role="alert">{error.message}</p>}
        {error && <button onClick={() => reload()}>Try again</button>}
        <Chat key={open} id={open} models={data?.models.filter((model) => model.isAvailable) ?? []} />
      </main>
    </>
  );
}
