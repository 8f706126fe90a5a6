-- How many signals there are.
SELECT COUNT(*) AS total FROM signals
WHERE ($symbol IS NULL OR symbol = $symbol)
    AND ($exchange IS NULL OR exchange = $exchange) AND ($market IS NULL OR market = $market)
    AND ($signal_type IS NULL OR signal = $signal_type)
    AND ($status IS NULL OR status = $status)
    AND ($min_score IS NULL OR score >= $min_score)
    AND ($from IS NULL OR ts >= $from) AND ($to IS NULL OR ts < $to)
