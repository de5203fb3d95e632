"""An inference engine without a model: the slots, queue, timing, metrics and refusals of TGI or of vLLM.

``python -m fake_engine --port 9001 --dialect tgi`` (with ``tests`` on ``PYTHONPATH``) runs one pod. How long an answer
is stands in the prompt: ``@@N:120@@``; what it says may stand there too: ``@@OUT:<base64>@@``. Tests start it with
``fake_engine.process.FakeEngineProcess`` and switch its failures over ``/_control`` while it runs.
"""
