import "./workers";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "graphiql/graphiql.css";
import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Playground } from "./playground";

const place = document.getElementById("playground");
if (place) {
  createRoot(place).render(
    <StrictMode>
      <Playground />
    </StrictMode>,
  );
}
