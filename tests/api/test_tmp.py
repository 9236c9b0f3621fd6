import asyncio, time
async def test_dead(service):
    now=int(time.time())
    for r in range(5):
        def batch(order):
            ts=[now-r*10000-j for j in range(200)]
            return {"series":[{"metric":f"m{r}_{i}","component":"c","times":ts[::order],"values":[1.0]*200} for i in list(range(100))[::order]]}
        res=await asyncio.gather(*[service.post("/metrics",batch(1 if k%2 else -1)) for k in range(8)])
        print([ (a.status, a.body.get("detail") or (a.body["accepted"])) for a in res])
    a=await service.ask("/api/v1/monitoring/metrics",method="POST",data=b"["*100000); print(a)
    a=await service.ask("/api/v1/auth/session",None,method="POST",data=b"["*60000); print(a)
