import { useQuery } from "@apollo/client/react";
import { useSyncExternalStore } from "react";
import { Chat } from "./chat";
import { graphql } from "./gql";
import { onEvent, signOut } from "./session";

const CHATS = graphql(`
  query Chats {
    me { id username chats(first: 50) { nodes { id title } } }
    models { id displayName isDefault isAvailable }
  }
`);

const onHash = onEvent("hashchange");

/** The list of chats, and the open chat, whose id is the fragment of the address. */
export function Chats() {
  const { data, error, refetch } = useQuery(CHATS);
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
        {error && <button onClick={() => void refetch().catch(() => undefined)}>Try again</button>}
        <Chat key={open} id={open} models={data?.models.filter((model) => model.isAvailable) ?? []} />
      </main>
    </>
  );
}
