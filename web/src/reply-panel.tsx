import { useEffect, useRef } from "react";
import { reply } from "./reply";
import { useStore } from "./store";

/** The text of the reply that is being watched, as people would read it. */
export function ReplyPanel() {
  const current = useStore(reply);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const box = end.current;
    if (box) box.scrollTop = box.scrollHeight;
  }, [current]);
  if (!current) return null;
  return (
    <section className="reply" aria-label="Reply">
      <h2>
        Reply <small>{current.status ?? "STREAMING"}</small>
      </h2>
      <div ref={end} className="text" tabIndex={0} aria-busy={current.status === null}>
        {current.pieces.map(({ text }) => text).join("")}
      </div>
    </section>
  );
}
