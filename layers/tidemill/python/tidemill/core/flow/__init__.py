"""Flow control, one small file a feature: pure functions of what is stored, the event and the time.

`keys` what a limit, window or batch is shared by · `places` concurrency and priority · `throttle` · `rate` ·
`gather` debounce and batch · `declared` what a function asks for. What they decide is stored by `FlowStore` (ports.py)
and acted on in `engine/intake/admit.py`, `engine/runs/concurrency.py` and `engine/intake/collect.py`.
"""
