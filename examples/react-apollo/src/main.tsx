import "./style.css";
import { ApolloProvider } from "@apollo/client/react";
import { StrictMode, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { Chats } from "./chats";
import { createApollo } from "./client";
import { isSignedIn, onEvent } from "./session";
import { SignIn } from "./sign-in";

const onSession = onEvent("storage");

function App() {
  return useSyncExternalStore(onSession, isSignedIn) ? <SignedIn /> : <SignIn />;
}

/** Each sign-in creates a new client, so that its cache contains no data of the previous user. */
function SignedIn() {
  const [client] = useState(createApollo);
  return (
    <ApolloProvider client={client}>
      <Chats />
    </ApolloProvider>
  );
}

createRoot(document.getElementById("app")!).render(<StrictMode><App /></StrictMode>);
