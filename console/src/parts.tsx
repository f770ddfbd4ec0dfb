import type { ReactNode } from "react";
import type { Run, Step } from "./api";

const SHAPES: Record<Run["status"] | Step["status"], string> = {
  scheduled: "◷", running: "▶", retrying: "↻", sleeping: "☾", waiting: "◌",
  completed: "✓", failed: "✕", cancelled: "⊘", skipped: "↷",
};
const SHOWN = 20_000; // characters of a value that the page shows

export function Status({ of }: { of: Run["status"] | Step["status"] }): ReactNode {
  return <span className={`status ${of}`}><span aria-hidden="true">{SHAPES[of]}</span> {of}</span>;
}

export function Time({ at }: { at: string | null }): ReactNode {
  if (at === null) return <span className="faint">–</span>;
  return <time dateTime={at} title={at}>{at.slice(0, 19).replace("T", " ")}</time>;
}

export function Value({ label, of }: { label: string; of: unknown }): ReactNode {
  const text = typeof of === "string" ? of : JSON.stringify(of, null, 2) ?? "null";
  const rest = text.length - SHOWN;
  return (
    <section>
      <h2>{label}</h2>
      <pre dir="auto" tabIndex={0} aria-label={label}>{text.slice(0, SHOWN)}</pre>
      {rest > 0 && <p className="faint">{rest.toLocaleString("en")} more characters are not shown.</p>}
    </section>
  );
}

export function Trouble({ error }: { error: Error }): ReactNode {
  return <p role="alert" className="trouble">{error.message}</p>;
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${(ms / 60_000).toFixed(1)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}
