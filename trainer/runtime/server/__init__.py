"""The WebSocket server: the OpenAI Realtime GA protocol over ``/v1/realtime``, and ``/health``, ``/metrics``, the page.

client ⇄ connection.py ⇄ protocol.py (pure) ⇄ Session      one connection = one session
             │
          wire.py (audio), limits.py, monitor.py (Prometheus), auth.py, pages.py (plain GET)
"""
