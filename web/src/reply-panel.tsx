import { useGraphiQL } from "@graphiql/react";
import { useEffect, useRef } from "react";
import { followAgain, canFollow, close, type Reply, reply, stop } from "./reply";
import { session } from "./session";
import { useStore } from "./store";

const LABELS = { following: "STREAMING", reconnecting: "RECONNECTING", lost: "NOT FOLLOWED" };

/** The text and the state of the followed reply, and a button that stops it. */
export function ReplyPanel() {
  const current = useStore(reply);
  const isWanted = useGraphiQL(({ tabs, activeTabIndex }) => concernsReplies(tabs[activeTabIndex]?.query));
  return current && isWanted ? <Panel current={current} /> : null;
}

/** Whether the operation of a tab starts, reads or stops a reply. */
function concernsReplies(query: string | null | undefined): boolean {
  return /\b(sendMessage|stopReply|reply)\s*\(/.test((query ?? "").replaceAll(/#.*/g, ""));
}

function Panel({ current }: { current: Reply }) {
  useStore(session);
  const { phase, status, pieces, reason, isStopping } = current;
  const isRunning = phase === "following" || phase === "reconnecting";
  const text = pieces.map((piece) => piece.text).join("");
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return (
    <section className="reply" aria-label="Reply">
      <header>
        <h2>Reply</h2>
        <span role="status" className={`state ${phase}`}>
          {phase === "ended" ? status : LABELS[phase]}
        </span>
        {isRunning && (
          <button type="button" className="primary" disabled={isStopping} onClick={() => void stop()}>
            {isStopping ? "Stopping…" : "Stop"}
          </button>
        )}
        {phase === "lost" && canFollow() && (
          <button type="button" onClick={followAgain}>
            Follow again
          </button>
        )}
        <button type="button" className="close" aria-label="Close" title="Close. The server continues the reply." onClick={close}>
          ×
        </button>
      </header>
      {reason && (
        <p className="reason" role="alert">
          {reason}
        </p>
      )}
      <div ref={box} className="text" tabIndex={0} aria-busy={isRunning}>
        {text}
      </div>
    </section>
  );
}
