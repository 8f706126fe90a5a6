-- One signal.
SELECT * FROM signals WHERE signal_id = $signal_id ORDER BY ts DESC LIMIT 1
