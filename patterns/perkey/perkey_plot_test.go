package perkey_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlot compares the plot with the record.
func TestPlot(t *testing.T) {
	want := draw(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(drawn, want, 0o666))
	}
	have, err := os.ReadFile(drawn)
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "draw it again: UPDATE_GOLDEN=1 go test -run TestPlot ./patterns/perkey")
}

// draw plots the record. Both axes are logarithmic.
func draw(tb testing.TB) []byte {
	tb.Helper()
	file, err := os.ReadFile(recorded)
	require.NoError(tb, err)
	r := csv.NewReader(bytes.NewReader(file))
	r.Comment = '#'
	rows, err := r.ReadAll()
	require.NoError(tb, err)
	at := func(row []string, column int) float64 {
		v, err := strconv.ParseFloat(row[column], 64)
		require.NoError(tb, err)
		return math.Log2(v)
	}
	low, high, last := math.Inf(1), 0.0, at(rows[len(rows)-1], 0)
	for _, row := range rows[1:] {
		for way := range ways {
			low, high = min(low, math.Floor(at(row, way+1))), max(high, math.Ceil(at(row, way+1)))
		}
	}
	x := func(log float64) float64 { return 70 + 500*log/last }
	y := func(log float64) float64 { return 340 - 270*(log-low)/(high-low) }
	var out bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	p(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 420" font-family="sans-serif" font-size="12">`)
	p(`<rect width="600" height="420" fill="white"/>`)
	for log := low; log <= high; log++ {
		p(`<path d="M70 %.1fH570" stroke="#ddd"/><text x="62" y="%.1f" text-anchor="end">%.0f</text>`, y(log), y(log)+4, math.Exp2(log))
	}
	for _, row := range rows[1:] {
		p(`<text x="%.1f" y="358" text-anchor="middle">%s</text>`, x(at(row, 0)), row[0])
	}
	p(`<text x="320" y="378" text-anchor="middle">keys</text><text x="18" y="205" text-anchor="middle" transform="rotate(-90 18 205)">events a second</text>`)
	for way, w := range ways {
		var points []string
		for _, row := range rows[1:] {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(at(row, 0)), y(at(row, way+1))))
		}
		require.Equal(tb, w.name, rows[0][way+1])
		p(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>`, strings.Join(points, " "), w.colour)
		left, top := 80+250*(way%2), 22+20*(way/2)
		p(`<path d="M%d %dh24" stroke="%s" stroke-width="2.5"/><text x="%d" y="%d">%s</text>`, left, top, w.colour, left+30, top+4, w.name)
	}
	for i, line := range bytes.Split(file, []byte("\n"))[:2] {
		p(`<text x="320" y="%d" text-anchor="middle" font-size="10" fill="#666">%s</text>`, 398+14*i, bytes.TrimPrefix(line, []byte("# ")))
	}
	p(`</svg>`)
	return out.Bytes()
}
