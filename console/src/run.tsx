import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, type ReactNode } from "react";
import { call, isOpen, runPath, type Step, type Why, type WholeRun } from "./api";
import { duration, Status, Time, Trouble, Value } from "./parts";

const POLL = 1000; // milliseconds, while the run is open and the page visible

export function RunPage({ id }: { id: string }): ReactNode {
  const asked = useQuery({
    queryKey: ["run", id],
    queryFn: async () => (await call<{ data: WholeRun }>("GET", runPath(id))).data,
    refetchInterval: (query) => (query.state.data && !isOpen(query.state.data.status) ? false : POLL),
  });
  const run = asked.data;
  return (
    <main>
      <p><a href="#/runs">All runs</a></p>
      <h1 className="cut">{id}</h1>
      {asked.error && <Trouble error={asked.error} />}
      {asked.isPending && <p>Loading the run…</p>}
      {run && <Whole run={run} />}
    </main>
  );
}

function Whole({ run }: { run: WholeRun }): ReactNode {
  return (
    <>
      <p><Status of={run.status} /> <bdi>{run.function_id}</bdi>, attempt {run.attempt}, created <Time at={run.created_at} /></p>
      {run.reason && <p dir="auto">{run.reason}</p>}
      {isOpen(run.status) && <WhyOpen id={run.run_id} />}
      {isOpen(run.status)
        ? <Action word="Cancel" says="The run stops before its next step. A step that is running now is not undone."
            method="DELETE" path={runPath(run.run_id)} />
        : <Action word="Rerun" says="A new run of the same function starts with the same events. Its steps run again."
            method="POST" path={`${runPath(run.run_id)}/rerun`} />}
      <Timeline run={run} />
      {run.error && <Value label="Error" of={`${run.error.type}: ${run.error.message}\n\n${run.error.stack}`} />}
      {run.status === "completed" && <Value label="Output" of={run.output} />}
      <Value label="Journal" of={run.journal} />
    </>
  );
}

function WhyOpen({ id }: { id: string }): ReactNode {
  const why = useQuery({
    queryKey: ["why", id],
    queryFn: async () => (await call<{ data: Why }>("GET", `${runPath(id)}/why`)).data,
    refetchInterval: POLL,
  });
  return why.data ? <p dir="auto">{why.data.sentence}</p> : null;
}

function Timeline({ run }: { run: WholeRun }): ReactNode {
  if (run.steps.length === 0) return <p>The run has no step yet.</p>;
  const from = Date.parse(run.started_at ?? run.created_at);
  const to = Math.max(from + 1, ...run.steps.map((step) => end(step)));
  return (
    <section>
      <h2>Steps, {duration(to - from)} in all</h2>
      <ol className="steps">{run.steps.map((step) => <Bar key={step.id} step={step} from={from} to={to} />)}</ol>
    </section>
  );
}

const end = (step: Step): number => (step.ended_at ? Date.parse(step.ended_at) : Date.now());

function Bar({ step, from, to }: { step: Step; from: number; to: number }): ReactNode {
  const began = Date.parse(step.started_at);
  const scale = 1000 / (to - from);
  const width = Math.max(4, (end(step) - began) * scale);
  return (
    <li>
      <span className="cut" dir="auto" title={step.id}>{step.name}</span>
      <Status of={step.status} />
      <svg viewBox="0 0 1004 10" preserveAspectRatio="none" aria-hidden="true">
        <rect className={step.status} x={Math.max(0, (began - from) * scale)} y="1" width={width} height="8" />
      </svg>
      <span className="number">{duration(end(step) - began)}{step.attempts > 1 && `, ${step.attempts} attempts`}</span>
      {step.error && <span className="trouble" dir="auto">{step.error.type}: {step.error.message.slice(0, 2000)}</span>}
    </li>
  );
}

interface Act { word: string; says: string; method: string; path: string }

function Action({ word, says, method, path }: Act): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const client = useQueryClient();
  const act = useMutation({
    mutationFn: () => call<{ data: { run_id: string } }>(method, path, method === "POST" ? {} : undefined),
    onSuccess: ({ data }) => {
      location.hash = `#/runs/${encodeURIComponent(data.run_id)}`;
      return client.invalidateQueries();
    },
    onSettled: () => dialog.current?.close(),
  });
  return (
    <>
      <button onClick={() => dialog.current?.showModal()}>{word} the run…</button>
      {act.error && <Trouble error={act.error} />}
      <dialog ref={dialog} aria-label={`${word} the run?`}>
        <p>{says}</p>
        <button autoFocus onClick={() => dialog.current?.close()}>Back</button>{" "}
        <button disabled={act.isPending} onClick={() => act.mutate()}>{word}</button>
      </dialog>
    </>
  );
}
