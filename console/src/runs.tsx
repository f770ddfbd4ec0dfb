import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useRef, type ReactNode } from "react";
import { call, STATUSES, type Page, type Run } from "./api";
import { Status, Time, Trouble } from "./parts";

const POLL = 1000; // milliseconds, while the page is visible

export function Runs({ filters }: { filters: URLSearchParams }): ReactNode {
  const list = useInfiniteQuery({
    queryKey: ["runs", filters.toString()],
    queryFn: ({ pageParam }) => call<Page<Run>>("GET", `/v1/runs?${asked(filters, pageParam)}`),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor,
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 1) > 1 ? false : POLL),
  });
  const search = useRef<HTMLInputElement>(null);
  useKeys(search);
  const runs = list.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <main>
      <h1>Runs</h1>
      <form role="search" onSubmit={(event) => event.preventDefault()}>
        <label>Function <input ref={search} defaultValue={filters.get("function") ?? ""}
          onChange={(event) => keep(filters, "function", event.target.value)} /></label>
        <label>Status <select value={filters.get("status") ?? ""}
          onChange={(event) => keep(filters, "status", event.target.value)}>
          <option value="">all</option>
          {STATUSES.map((status) => <option key={status}>{status}</option>)}
        </select></label>
        <span className="faint">Keys: / search, j and k move, Enter opens</span>
      </form>
      {list.error && <Trouble error={list.error} />}
      {list.isPending && <p>Loading the runs…</p>}
      {list.data && runs.length === 0 && <p>No run fits. Send an event that a function is triggered by.</p>}
      {runs.length > 0 && <Table runs={runs} />}
      {list.hasNextPage && <button onClick={() => void list.fetchNextPage()}>Show older runs</button>}
    </main>
  );
}

function Table({ runs }: { runs: Run[] }): ReactNode {
  return (
    <table>
      <thead><tr><th>Status</th><th>Function</th><th>Run</th><th>Created</th></tr></thead>
      <tbody>{runs.map((run) => (
        <tr key={run.run_id}>
          <td><Status of={run.status} /></td>
          <td className="cut" dir="auto" title={run.function_id}>{run.function_id}</td>
          <td className="cut"><a className="row" href={`#/runs/${encodeURIComponent(run.run_id)}`}>{run.run_id}</a></td>
          <td><Time at={run.created_at} /></td>
        </tr>
      ))}</tbody>
    </table>
  );
}

function asked(filters: URLSearchParams, cursor: string | null): URLSearchParams {
  const asks = new URLSearchParams(filters);
  if (cursor !== null) asks.set("cursor", cursor);
  return asks;
}

function keep(filters: URLSearchParams, name: string, value: string): void {
  const kept = new URLSearchParams(filters);
  if (value) kept.set(name, value);
  else kept.delete(name);
  location.replace(`#/runs?${kept}`);
}

function useKeys(search: { current: HTMLInputElement | null }): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
      if (event.key === "/") { event.preventDefault(); search.current?.focus(); }
      if (event.key === "j") move(1);
      if (event.key === "k") move(-1);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [search]);
}

function move(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("a.row")];
  const at = rows.findIndex((row) => row === document.activeElement);
  rows[at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
}
