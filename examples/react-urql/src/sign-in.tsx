import { type FormEvent, useState } from "react";
import { enter, type Problem } from "./session";

export function SignIn() {
  const [isNew, setIsNew] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const [problems, setProblems] = useState<Problem[]>([]);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    setIsBusy(true);
    setProblems(await enter(isNew ? "register" : "login", Object.fromEntries(new FormData(event.currentTarget))));
    setIsBusy(false);
  }

  const fields = problems.flatMap(({ extensions }) => extensions?.fields ?? []);
  const field = (name: string, label: string, autoComplete: string, type = "text") => (
    <label key={name}>
      {label}
      <input name={name} type={type} autoComplete={autoComplete} required />
      {fields.map(({ path, message }) => path.at(-1) === name && <small key={message} role="alert">{message}</small>)}
    </label>
  );
  return (
    <form className="sign-in" onSubmit={(event) => void submit(event)}>
      <h1>{isNew ? "Create an account" : "Sign in"}</h1>
      {isNew && [field("username", "Username", "username"), field("email", "E-mail", "email", "email")]}
      {!isNew && field("login", "Username or e-mail", "username")}
      {field("password", "Password", isNew ? "new-password" : "current-password", "password")}
      {problems.filter(({ extensions }) => !extensions?.fields).map(({ message, extensions }) => (
        <p key={message} role="alert">
          {message} {extensions?.retryAfterSeconds && `Try again in ${extensions.retryAfterSeconds} seconds.`}
        </p>
      ))}
      <button disabled={isBusy}>{isNew ? "Create" : "Sign in"}</button>
      <button type="button" className="quiet" onClick={() => setIsNew(!isNew)}>
        {isNew ? "I have an account" : "Create an account"}
      </button>
    </form>
  );
}
