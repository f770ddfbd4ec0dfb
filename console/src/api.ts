import type { components } from "./schema";

type Schemas = components["schemas"];
export type Run = Schemas["Run"];
export type WholeRun = Schemas["WholeRun"];
export type Step = Schemas["Step"];
export type Why = Schemas["Why"];
export interface Page<T> { data: T[]; cursor: string | null }

export const STATUSES = [
  "scheduled", "running", "sleeping", "waiting", "completed", "failed", "cancelled", "skipped",
] as const satisfies readonly Run["status"][];

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: { authorization: "Bearer console" } };
  if (body !== undefined) init.body = JSON.stringify(body);
  const answer = await fetch(path, init);
  const content: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(refusal(content) ?? `The server answered ${answer.status} to ${method} ${path}.`);
  return content as T;
}

function refusal(content: unknown): string | null {
  if (typeof content !== "object" || content === null || !("error" in content)) return null;
  return typeof content.error === "string" ? content.error : null;
}

export const runPath = (id: string): string => `/v1/runs/${encodeURIComponent(id)}`;
export const isOpen = (status: Run["status"]): boolean =>
  status === "scheduled" || status === "running" || status === "sleeping" || status === "waiting";
