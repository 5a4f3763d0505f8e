package sim

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"testing"
	"time"
)

// simfaas runs SimFaaS (Mahmoudi, Khazaei, CLOSER'21; PyPI: simfaas) on one function with
// Poisson arrivals, exponential service and a fixed expiration, and prints what it found.
const simfaas = `
import json, time
from simfaas.ServerlessSimulator import ServerlessSimulator
start = time.time()
sim = ServerlessSimulator(arrival_rate=0.9, warm_service_rate=0.5, cold_service_rate=0.5, expiration_threshold=600, max_time=100000)
sim.generate_trace(debug_print=False, progress=False)
print(json.dumps({"requests": sim.total_req_count, "cold": sim.total_cold_count, "servers": float(sim.get_average_server_count()), "seconds": time.time() - start}))
`

// BenchmarkAgainstSimFaaS runs the same Poisson workload (0.9 arrivals a second, service of 2 s,
// expiration after 600 s) in SimFaaS and here, and compares speed and result. It wants a Python
// that has simfaas: $PYTHON, else python3.
func BenchmarkAgainstSimFaaS(b *testing.B) {
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	out, err := exec.Command(python, "-c", simfaas).Output()
	if err != nil {
		b.Skip("no Python with simfaas: pip install simfaas, and name it in $PYTHON")
	}
	var theirs struct {
		Requests, Cold   int
		Servers, Seconds float64
	}
	if err := json.Unmarshal(out, &theirs); err != nil {
		b.Fatal(err)
	}
	tr := poissonTrace(b, 1, 0.9, 1_000_000*time.Second, 2*time.Second)
	o := DefaultOptions()
	o.Policies = []string{"none"}
	o.Sequential = true
	o.Ladder.Start = 0
	n := uint64(0)
	var s Summary
	for b.Loop() {
		r, err := Run(context.Background(), tr, o)
		if err != nil {
			b.Fatal(err)
		}
		s = r.Runs[0].Summary
		n += s.Invocations
	}
	ours, them := float64(n)/b.Elapsed().Seconds(), float64(theirs.Requests)/theirs.Seconds
	b.ReportMetric(ours, "invocations/s")
	b.ReportMetric(them, "simfaas-invocations/s")
	b.ReportMetric(ours/them, "times-simfaas")
	b.ReportMetric(s.MeanResident, "workers")
	b.ReportMetric(theirs.Servers, "simfaas-workers")
	b.ReportMetric(1000*s.ColdShare, "cold/1000")
	b.ReportMetric(1000*float64(theirs.Cold)/float64(theirs.Requests), "simfaas-cold/1000")
	if math.Abs(s.MeanResident/theirs.Servers-1) > 0.1 {
		b.Errorf("%.2f workers on average: SimFaaS has %.2f", s.MeanResident, theirs.Servers)
	}
}
