-- What happened to a signal.
SELECT * FROM signal_events WHERE signal_id = $signal_id ORDER BY event_ts, event
