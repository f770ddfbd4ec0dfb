"""Flow control as pure functions of stored values, the event and the time; one file per feature.

`keys` the scope of a limit, window or batch · `concurrency` places and priority · `throttle` · `rate` · `collect`
debounce and batch · `shared` limits that several functions share · `admission` keys and limits of one run. `FlowStore`
(ports/flow.py) stores their decisions, and these modules carry them out: `engine/intake/admit.py`,
`engine/runs/concurrency.py` and `engine/intake/collect.py`.
"""
