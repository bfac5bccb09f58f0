package perkey_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/perkey"
)

const (
	recorded = "testdata/throughput.csv"
	drawn    = "../../docs/patterns/perkey-throughput.svg"
	takes    = 2 * time.Millisecond // of each event, in real time
	workers  = 16                   // in all processes
)

var record = flag.Bool("record", false, "measure the throughput for "+recorded+", and draw it")

// The compared ways to apply events, in the order of the columns.
var ways = []struct {
	name, colour       string
	shared, asTheyCome bool
	processes          int
}{
	{"as they come (wrong)", "#c0392b", false, true, 1},
	{"shared last event", "#7f8c8d", true, false, 1},
	{"by resource id", "#2471a3", false, false, 1},
	{"by resource id, 4 processes", "#229954", false, false, 4},
}

// throughput measures events per second, and counts the keys with events out of order.
func throughput(b *testing.B, way, keys int) (rate float64, wrong int) {
	w, most := ways[way], min(keys, workers)
	if w.shared {
		most = 1
	}
	if w.asTheyCome {
		most = workers
	}
	each := (100*most + keys - 1) / keys
	s, bk := natstest.Start(b), newBank(takes)
	defer s.Stop()
	cfg := quiet(perkey.Config{Partitions: w.processes, Concurrency: workers / w.processes})
	require.NoError(b, perkey.Provision(b.Context(), s.JetStream("owner"), "bank", "books", cfg))
	story(b, s.JetStream("owner"), keys, each, w.shared)
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	start := time.Now()
	for p := range w.processes {
		cfg.Assigned = []int{p}
		js, do, ledger := s.JetStream(fmt.Sprint("books-", p)), honest(cfg), perkey.Ledger(bk)
		if w.asTheyCome {
			do, ledger = naive(false, cfg), careless{bk}
		}
		all.Go(func() { _ = do(ctx, js, ledger) })
	}
	natstest.Eventually(b, time.Minute, func(context.Context) error {
		n := 0
		for _, versions := range bk.now().log {
			n += len(versions)
		}
		if n < each*keys {
			return fmt.Errorf("%d of %d", n, each*keys)
		}
		return nil
	})
	cancel()
	all.Wait()
	for _, versions := range bk.log {
		if !slices.IsSorted(versions) {
			wrong++
		}
	}
	return float64(each*keys) / bk.end.Sub(start).Seconds(), wrong
}

// BenchmarkThroughput compares order per key with one order for all. With -record it
// measures the plot.
func BenchmarkThroughput(b *testing.B) {
	if b.N > 1 {
		return
	}
	if *record {
		measure(b)
		return
	}
	shared, wrong := throughput(b, 1, workers)
	byKey, more := throughput(b, 2, workers)
	require.Zero(b, wrong+more)
	ratio.Report(b, "perkey", "16 keys by resource id, beside a shared one", fmt.Sprintf("%.1f", byKey/shared), ">= 8", byKey >= 8*shared)
}

func measure(b *testing.B) {
	cpu := "unknown"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, cpu, _ = strings.Cut(string(info), "model name\t: ")
		cpu, _, _ = strings.Cut(cpu, "\n")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# events a second; each takes %v, %d workers in all; median of three\n", takes, workers)
	fmt.Fprintf(&out, "# %d CPUs, %s; %s, nats-server %s in the same process, streams in memory\n", runtime.NumCPU(), cpu, runtime.Version(), server.VERSION)
	fmt.Fprintf(&out, "# go test -run '^$' -bench Throughput -benchtime 1x ./patterns/perkey -record\nkeys")
	for _, w := range ways {
		fmt.Fprintf(&out, ",%q", w.name)
	}
	fmt.Fprintln(&out, ",keys that came out of order as they come")
	for keys := 1; keys <= 64; keys *= 2 {
		fmt.Fprint(&out, keys)
		wrong := 0
		for way := range ways {
			var rates []float64
			for range 3 {
				rate, n := throughput(b, way, keys)
				if rates = append(rates, rate); ways[way].asTheyCome {
					wrong = max(wrong, n)
				} else {
					require.Zero(b, n, ways[way].name)
				}
			}
			fmt.Fprintf(&out, ",%.0f", ratio.Median(rates))
		}
		fmt.Fprintf(&out, ",%d\n", wrong)
	}
	require.NoError(b, os.WriteFile(recorded, out.Bytes(), 0o666))
	require.NoError(b, os.WriteFile(drawn, draw(b), 0o666))
}
