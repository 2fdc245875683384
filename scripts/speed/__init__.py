"""What bench_live.py runs in processes of their own."""
