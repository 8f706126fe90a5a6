#!/usr/bin/env python3
"""Writes <SYMBOL>_<timeframe>.csv: klines and what TA-Lib makes of them, for dataflow/src/indicator/golden.rs.

Origin: Binance USD-M futures 1m klines from 2025-05-04 on, as published in the repository typhonun/DcaTpStrategy
(commit 057525d1db7e665da1122809889fb38144460d88, MIT, see LICENSE here), read from a folder that holds
BINANCE_UM_<SYMBOL>_1m_futures.csv.zst (ts_ms,open,high,low,close,volume). 5m bars are aggregated here.
Made with: TA-Lib 0.8.1 (PyPI ta-lib 0.8.2), numpy 2.4.6; needs the command `zstd`.
Run:       pip install ta-lib numpy && python generate.py FOLDER

Every bar's input is kept, but outputs only for the first 60 bars and then for every third, to keep the files small:
what an indicator carries along shows in the rows that are left. Floats are in Python's repr: they read back exactly.
"""
import pathlib
import subprocess
import sys

import numpy as np
import talib

N_BARS = 400
HERE = pathlib.Path(__file__).parent


def klines(folder, symbol):
    """Rows of ts_ms, open, high, low, close, volume."""
    path = folder / f"BINANCE_UM_{symbol}_1m_futures.csv.zst"
    text = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True, text=True).stdout
    rows = [[float(cell) for cell in line.split(",")] for line in text.splitlines()[1 : 5 * (N_BARS + 1) + 1]]
    return np.array(rows)


def aggregate(rows, n):
    """Bars of n minutes, aligned to the epoch; the first, partial one is left out."""
    length = 60_000 * n
    starts = rows[:, 0] // length * length
    bars = []
    for start in np.unique(starts)[1 if starts[0] != rows[0, 0] else 0 :][:N_BARS]:
        part = rows[starts == start]
        bars.append([start, part[0, 1], part[:, 2].max(), part[:, 3].min(), part[-1, 4], float(np.sum(part[:, 5]))])
    return np.array(bars)


def outputs(bars):
    """TA-Lib's columns under prism's names."""
    _, _, high, low, close, volume = (np.ascontiguousarray(column) for column in bars.T)
    out = {f"sma_{n}": talib.SMA(close, n) for n in (5, 10, 20, 50, 200)}
    out |= {f"ema_{n}": talib.EMA(close, n) for n in (9, 12, 20, 26, 50, 200)}
    out |= {"dema_20": talib.DEMA(close, 20), "tema_20": talib.TEMA(close, 20), "wma_20": talib.WMA(close, 20)}
    out["rsi_14"] = talib.RSI(close, 14)
    out["macd_line"] = out["ema_12"] - out["ema_26"]
    own = talib.MACD(close, 12, 26, 9)
    out |= dict(zip(("talib_macd_line", "talib_macd_signal_line", "talib_macd_histogram"), own))
    out |= dict(zip(("stochastic_k", "stochastic_d"), talib.STOCH(high, low, close, 14, 3, 0, 3, 0)))
    out["williams_r_14"] = talib.WILLR(high, low, close, 14)
    out["cci_20"] = talib.CCI(high, low, close, 20)
    out["roc_10"] = talib.ROC(close, 10)
    # TA-Lib lets rounding decide ties: in whole thousandths nothing is rounded, and these do not depend on the unit.
    whole = [np.round(1000 * prices) for prices in (high, low, close)]
    out["adx_14"] = talib.ADX(*whole, 14)
    out["plus_di_14"] = talib.PLUS_DI(*whole, 14)
    out["minus_di_14"] = talib.MINUS_DI(*whole, 14)
    out |= {f"atr_{n}": talib.ATR(high, low, close, n) for n in (14, 20, 50)}
    bands = talib.BBANDS(close, 20, 2.0, 2.0, 0)
    out |= dict(zip(("bollinger_upper", "bollinger_middle", "bollinger_lower"), bands))
    out["obv"] = talib.OBV(close, volume)
    out["adl"] = talib.AD(high, low, close, volume)
    out["mfi_14"] = talib.MFI(*whole, volume, 14)
    out["psar"] = talib.SAR(high, low, 0.02, 0.2)
    return out


def write(path, symbol, timeframe, bars):
    out = outputs(bars)
    with path.open("w") as file:
        version = talib.__ta_version__.decode().split()[0]
        file.write(f"# Binance USD-M {symbol} {timeframe} klines (MIT, see LICENSE) and TA-Lib {version} of them; made by generate.py\n")
        file.write(",".join(["ts_ms", "open", "high", "low", "close", "volume", *out]) + "\n")
        for i, bar in enumerate(bars):
            shown = i < 60 or i % 3 == 1
            cells = ["" if not shown or np.isnan(column[i]) else repr(float(column[i])) for column in out.values()]
            file.write(",".join([str(int(bar[0])), *(repr(float(x)) for x in bar[1:]), *cells]) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        rows = klines(folder, symbol)
        write(HERE / f"{symbol}_1m.csv", symbol, "1m", rows[:N_BARS])
        write(HERE / f"{symbol}_5m.csv", symbol, "5m", aggregate(rows, 5))


if __name__ == "__main__":
    main()
