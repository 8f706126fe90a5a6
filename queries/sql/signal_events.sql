-- What happened to a signal, in order.
SELECT * FROM signal_events
WHERE ts = $ts AND signal_id = $signal_id
ORDER BY event_ts, CASE event WHEN 'raised' THEN 0 WHEN 'target_1' THEN 1 WHEN 'target_2' THEN 2 WHEN 'stop' THEN 3 ELSE 4 END
