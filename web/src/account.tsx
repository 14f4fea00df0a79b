import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { post } from "./http";
import { adopt, authorization, forget, notice, session } from "./session";
import { useStore } from "./store";

const PAYLOAD = "{ user { username } session { id } accessToken accessTokenExpiresAt refreshToken }";
const LOGIN = `mutation Login($input: LoginInput!) { payload: login(input: $input) ${PAYLOAD} }`;
const REGISTER = `mutation Register($input: RegisterInput!) { payload: register(input: $input) ${PAYLOAD} }`;
const LOGOUT = "mutation Logout { logout { sessionId } }";

/** The signed-in user, and the buttons to sign in and out. */
export function Account() {
  const current = useStore(session);
  const why = useStore(notice);
  const [isOpen, setIsOpen] = useState(false);
  return (
    <div className="account">
      <span role="status">
        {current ? (
          <>
            Signed in as <strong>{current.username}</strong>
          </>
        ) : (
          (why ?? "Not signed in")
        )}
      </span>
      {current ? (
        <button type="button" onClick={() => void signOut()}>
          Sign out
        </button>
      ) : (
        <button type="button" className="primary" onClick={() => setIsOpen(true)}>
          Sign in
        </button>
      )}
      {isOpen && <SignIn onClose={() => setIsOpen(false)} />}
    </div>
  );
}

async function signOut(): Promise<void> {
  const value = await authorization();
  // The tokens are deleted even if the server cannot be reached.
  if (value) await post({ query: LOGOUT }, { authorization: value }).catch(() => null);
  forget();
}

function SignIn({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const [isNew, setIsNew] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const [problems, setProblems] = useState<Problems>(NONE);

  useEffect(() => dialog.current?.showModal(), []);

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const input = { ...Object.fromEntries(new FormData(event.currentTarget)), device: "Playground" };
    setIsBusy(true);
    setProblems(await enter(isNew ? REGISTER : LOGIN, input));
    setIsBusy(false);
    if (session.get()) onClose();
  }

  return (
    <dialog ref={dialog} className="sign-in" aria-labelledby={title} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id={title}>{isNew ? "Create an account" : "Sign in"}</h2>
        {isNew ? (
          <>
            <Field key="username" label="Username" name="username" autoComplete="username" autoFocus problems={problems} />
            <Field key="email" label="E-mail" name="email" type="email" autoComplete="email" problems={problems} />
          </>
        ) : (
          <Field key="login" label="Username or e-mail" name="login" autoComplete="username" autoFocus problems={problems} />
        )}
        <Field
          key={isNew ? "new-password" : "password"}
          label="Password"
          name="password"
          type="password"
          autoComplete={isNew ? "new-password" : "current-password"}
          hint={isNew ? "At least 8 characters that are not easily guessed." : undefined}
          problems={problems}
        />
        <div role="alert">
          {problems.other.map((problem) => (
            <p key={problem}>{problem}</p>
          ))}
        </div>
        <div className="actions">
          <button
            type="button"
            className="link"
            onClick={() => {
              setIsNew(!isNew);
              setProblems(NONE);
            }}
          >
            {isNew ? "I have an account" : "Create an account"}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isBusy}>
            {isNew ? "Create" : "Sign in"}
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface FieldProps {
  label: string;
  name: string;
  autoComplete: string;
  problems: Problems;
  type?: string;
  hint?: string | undefined;
  autoFocus?: boolean;
}

function Field({ label, hint, problems, ...input }: FieldProps) {
  const id = useId();
  const wrong = problems.fields.get(input.name) ?? [];
  return (
    <p>
      <label htmlFor={id}>{label}</label>
      <input id={id} required aria-invalid={wrong.length > 0} aria-describedby={`${id}-hint ${id}-wrong`} {...input} />
      <small id={`${id}-wrong`} className="wrong" role="alert">
        {wrong.map((problem) => `${label}: ${problem}`).join(" ")}
      </small>
      {hint && <small id={`${id}-hint`}>{hint}</small>}
    </p>
  );
}

/** The errors of the form: those of each field, by its name, and all others. */
interface Problems {
  fields: Map<string, string[]>;
  other: string[];
}

const NONE: Problems = { fields: new Map(), other: [] };

/** Signs in or registers. Returns the errors; none means success. */
async function enter(query: string, input: Record<string, unknown>): Promise<Problems> {
  const problems: Problems = { fields: new Map(), other: [] };
  try {
    const result = await post({ query, variables: { input } });
    if (adopt(result.data?.["payload"])) return NONE;
    for (const { message, extensions } of result.errors ?? []) {
      const fields = (extensions?.["fields"] ?? []) as { path: string[]; message: string }[];
      for (const field of fields) {
        const name = field.path.at(-1) ?? "";
        if (name in input) problems.fields.set(name, [...(problems.fields.get(name) ?? []), field.message]);
        else problems.other.push(field.message);
      }
      const isWrong = extensions?.["code"] === "INVALID_CREDENTIALS";
      const shown = isWrong ? "The username, e-mail address or password is wrong." : message;
      if (!fields.length) problems.other.push(shown + retry(extensions?.["retryAfterSeconds"]));
    }
    if (!result.errors?.length) problems.other.push("The response of the server contains no tokens.");
  } catch (error) {
    problems.other.push(error instanceof Error ? error.message : String(error));
  }
  return problems;
}

/** A sentence that says when to try again; empty without `retryAfterSeconds`. */
function retry(seconds: unknown): string {
  if (typeof seconds !== "number") return "";
  const [count, unit] = seconds < 120 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
  return ` Try again in ${count} ${unit}${count === 1 ? "" : "s"}.`;
}
