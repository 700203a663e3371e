// Package telemetry has what an operator looks at: the log, the metrics, and
// the identifier that joins a request's lines. Everything is a value that cmd
// makes and passes down; the package keeps none itself.
package telemetry

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger writes JSON lines to w. The level may be changed while it runs; it
// also is an HTTP handler that does so.
func NewLogger(level string, w zapcore.WriteSyncer) (*zap.Logger, zap.AtomicLevel, error) {
	at, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, zap.AtomicLevel{}, fmt.Errorf("log level: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "time"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.Lock(w), at)
	return zap.New(core), at, nil
}
