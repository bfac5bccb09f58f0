package tap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// grain is how finely a diagram tells time: what happens within one is of one
// instant, and has no order but that of cause and effect.
const grain = 10 * time.Millisecond

// Mermaid draws the events from one instant of the play that began at start to
// another as a sequence diagram, in an order that depends on nothing but the play.
// Events before from are told too, but not drawn; nor is what draw, unless it is
// nil, does not want. It returns the number of arrows.
func Mermaid(start time.Time, from, to time.Duration, events []Event, times bool, draw func(Arrow) bool) (string, int) {
	var b strings.Builder
	var arrows int
	teller := NewTeller()
	var lines []string
	lifelines := []string{hub}
	for _, e := range settle(start, events) {
		a, ok := teller.Tell(e)
		at := e.At.Sub(start).Round(grain)
		if !ok || at < from || to > 0 && at >= to || draw != nil && !draw(a) {
			continue
		}
		if !slices.Contains(lifelines, e.Who) {
			lifelines = append(lifelines, e.Who)
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
	for _, who := range lifelines[1:] {
		if id := lifeline(who); id != who {
			who = id + " as " + who
		}
		fmt.Fprintf(&b, "  participant %s\n", who)
	}
	fmt.Fprintf(&b, "  participant %s\n", hub)
	for _, l := range lines {
		b.WriteString(l)
	}
	return b.String(), arrows
}

// lifeline is a participant's name as Mermaid can read it: it takes the first word
// of create-invoice for a command.
func lifeline(name string) string { return strings.ReplaceAll(name, "-", "_") }

var escape = strings.NewReplacer(";", "#59;", "#", "#35;", "<", "#lt;", ">", "#gt;", "\n", " ")

// settle orders the events of each instant anew: repeatedly the smallest by
// participant, subject and data among those whose causes are out. A delivery needs
// its publish and what came before it in its subscription; a publish or a
// subscription needs what its connection sent before it, and what was delivered
// there before it.
func settle(start time.Time, events []Event) []Event {
	instant := func(e Event) time.Duration { return e.At.Sub(start).Round(grain) }
	var out []Event
	for len(events) > 0 {
		n := 1
		for n < len(events) && instant(events[n]) == instant(events[0]) {
			n++
		}
		out = append(out, settleOne(events[:n])...)
		events = events[n:]
	}
	return out
}

func settleOne(now []Event) []Event {
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
	return cmp.Or(cmp.Compare(a.Who, b.Who), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Data, b.Data))
}

// causesOf returns, by event, the earlier events that have to be told first.
func causesOf(now []Event) [][]int {
	type subscription struct {
		conn int
		sid  string
	}
	causes := make([][]int, len(now))
	sent := map[int]int{}           // the last frame a connection sent
	came := map[int][]int{}         // what it was delivered
	last := map[subscription]int{}  // the last delivery of a subscription
	published := map[string][]int{} // what was published, by subject and data
	for i, e := range now {
		if e.Op == Msg {
			sub := subscription{e.Conn, e.Sid}
			if isInbox(e.Subject) {
				sub.sid = e.Subject // answers to different questions have no order
			}
			if j, ok := last[sub]; ok {
				causes[i] = append(causes[i], j)
			}
			last[sub] = i
			causes[i] = append(causes[i], published[e.Subject+"\x00"+e.Data]...)
			if isInbox(e.Subject) {
				causes[i] = append(causes[i], asked(now[:i], e.Subject)...)
			}
			came[e.Conn] = append(came[e.Conn], i)
			continue
		}
		if j, ok := sent[e.Conn]; ok {
			causes[i] = append(causes[i], j)
		}
		sent[e.Conn] = i
		causes[i] = append(causes[i], came[e.Conn]...)
		if e.Op == Pub {
			key := e.Subject + "\x00" + e.Data
			published[key] = append(published[key], i)
		}
	}
	return causes
}

// asked finds the request whose answer goes to inbox.
func asked(now []Event, inbox string) []int {
	for i, e := range now {
		if e.Op == Pub && e.Reply == inbox {
			return []int{i}
		}
	}
	return nil
}
