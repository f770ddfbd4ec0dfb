import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { useSyncExternalStore, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { RunPage } from "./run";
import { Runs } from "./runs";
import "./style.css";

function subscribe(changed: () => void): () => void {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
}

function Console(): ReactNode {
  const address = useSyncExternalStore(subscribe, () => location.hash);
  const [path = "", query = ""] = address.replace(/^#/, "").split("?", 2);
  const id = /^\/runs\/([^/]+)$/.exec(path)?.[1];
  return (
    <>
      <header><a href="#/runs"><strong>Tidemill</strong></a> <a href="/docs">HTTP reference</a></header>
      {id === undefined ? <Runs filters={new URLSearchParams(query)} /> : <RunPage key={id} id={decoded(id)} />}
    </>
  );
}

function decoded(text: string): string {
  try { return decodeURIComponent(text); } catch { return text; }
}

const root = document.getElementById("root");
if (root) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  createRoot(root).render(<QueryClientProvider client={client}><Console /></QueryClientProvider>);
}
