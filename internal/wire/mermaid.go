package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// grain is the resolution of time in a diagram: events within one grain belong to
// one instant, and are ordered only by cause and effect.
const grain = 10 * time.Millisecond

// Mermaid draws the events between from and to, counted from start, as a sequence
// diagram, in an order that is the same in every run. Events before from are
// described, but not drawn. If draw is not nil, arrows for which it returns false
// are not drawn. Mermaid returns the number of arrows.
func Mermaid(start time.Time, from, to time.Duration, events []Event, times bool, draw func(Arrow) bool) (string, int) {
	var b strings.Builder
	var arrows int
	describer := NewDescriber()
	var lines []string
	lifelines := []string{serverName}
	for _, e := range sortInstants(start, events) {
		a, ok := describer.Describe(e)
		at := e.At.Sub(start).Round(grain)
		if !ok || at < from || to > 0 && at >= to || draw != nil && !draw(a) {
			continue
		}
		if !slices.Contains(lifelines, e.Client) {
			lifelines = append(lifelines, e.Client)
		}
		text := escape.Replace(a.Text)
		if times {
			text = at.String() + " " + text
		}
		line := "->>"
		if e.Op == Sub {
			line = "-->>"
		}
		lines = append(lines, fmt.Sprintf("  %s%s%s: %s\n", lifeline(a.From), line, lifeline(a.To), text))
		arrows++
	}
	b.WriteString("sequenceDiagram\n")
	for _, client := range lifelines[1:] {
		if id := lifeline(client); id != client {
			client = id + " as " + client
		}
		fmt.Fprintf(&b, "  participant %s\n", client)
	}
	fmt.Fprintf(&b, "  participant %s\n", serverName)
	for _, l := range lines {
		b.WriteString(l)
	}
	return b.String(), arrows
}

// lifeline returns a client's name in a form that Mermaid can parse: it would parse
// the first word of create-invoice as a command.
func lifeline(name string) string { return strings.ReplaceAll(name, "-", "_") }

var escape = strings.NewReplacer(";", "#59;", "#", "#35;", "<", "#lt;", ">", "#gt;", "\n", " ")

// sortInstants sorts the events of each instant: repeatedly the smallest by client,
// subject and data among those whose causes are in the result. The causes of a
// delivery are its publish and the earlier deliveries of its subscription. Those of a
// publish or subscribe are what its connection sent and received before it.
func sortInstants(start time.Time, events []Event) []Event {
	instant := func(e Event) time.Duration { return e.At.Sub(start).Round(grain) }
	var out []Event
	for len(events) > 0 {
		n := 1
		for n < len(events) && instant(events[n]) == instant(events[0]) {
			n++
		}
		out = append(out, sortInstant(events[:n])...)
		events = events[n:]
	}
	return out
}

func sortInstant(now []Event) []Event {
	left := make([]int, len(now))
	for i := range left {
		left[i] = i
	}
	causes := causesOf(now)
	done := make([]bool, len(now))
	out := make([]Event, 0, len(now))
	for len(left) > 0 {
		best := -1
		for at, i := range left {
			ready := !slices.ContainsFunc(causes[i], func(c int) bool { return !done[c] })
			if ready && (best < 0 || smaller(now[i], now[left[best]]) < 0) {
				best = at
			}
		}
		i := left[best] // causes come earlier on the wire, so one is always ready
		done[i] = true
		out = append(out, now[i])
		left = slices.Delete(left, best, best+1)
	}
	return out
}

func smaller(a, b Event) int {
	return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Data, b.Data))
}

// causesOf returns, by event, the earlier events that have to come first.
func causesOf(now []Event) [][]int {
	type subscription struct {
		conn int
		sid  string
	}
	causes := make([][]int, len(now))
	sent := map[int]int{}           // the last frame a connection sent
	received := map[int][]int{}     // what was delivered to it
	last := map[subscription]int{}  // the last delivery of a subscription
	published := map[string][]int{} // what was published, by subject and data
	for i, e := range now {
		if e.Op == Msg {
			sub := subscription{e.Conn, e.Sid}
			if isInbox(e.Subject) {
				sub.sid = e.Subject // replies to different requests have no order
			}
			if j, ok := last[sub]; ok {
				causes[i] = append(causes[i], j)
			}
			last[sub] = i
			causes[i] = append(causes[i], published[e.Subject+"\x00"+e.Data]...)
			if isInbox(e.Subject) {
				causes[i] = append(causes[i], requestOf(now[:i], e.Subject)...)
			}
			received[e.Conn] = append(received[e.Conn], i)
			continue
		}
		if j, ok := sent[e.Conn]; ok {
			causes[i] = append(causes[i], j)
		}
		sent[e.Conn] = i
		causes[i] = append(causes[i], received[e.Conn]...)
		if e.Op == Pub {
			key := e.Subject + "\x00" + e.Data
			published[key] = append(published[key], i)
		}
	}
	return causes
}

// requestOf returns the index of the request whose reply goes to inbox.
func requestOf(now []Event, inbox string) []int {
	for i, e := range now {
		if e.Op == Pub && e.Reply == inbox {
			return []int{i}
		}
	}
	return nil
}
