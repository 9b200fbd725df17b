"""The sentences of the command line in Simplified Chinese, with the terms of Omipay's own documents. No logic."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "{}: {}": "{}：{}",
        "{}; {}": "{}；{}",
        "{} {}": "{}{}",
        "{:>9}  {}": "{:>9}  {}",
        "{} (order {})": "{}（订单 {}）",
        "{} (the last error: {})": "{}（最近一次错误：{}）",
        "{} (see {} --help)": "{}（请看 {} --help）",
        "{} is required": "需要{}",
        "{} minor units": "{}（最小货币单位）",
        "{} minor units of {}": "{}（{} 的最小货币单位）",
        "no time": "片刻",
        "{} days": "{} 天",
        "{} hours": "{} 小时",
        "{} minutes": "{} 分钟",
        "{} seconds": "{} 秒",
        "1 day": "1 天",
        "1 hour": "1 小时",
        "1 minute": "1 分钟",
        "1 second": "1 秒",
        "{} and {}": "{} {}",
        # Arguments and questions
        "the command line needs: {}": "命令行需要先安装：{}",
        "{} is not a whole number of minor units: A$4.50 is 450": "{} 不是整数（最小货币单位）：A$4.50 是 450",
        "{} is not a number of seconds above 0": "{} 不是大于 0 的秒数",
        "{} cannot be read: {}": "无法读取 {}：{}",
        "{} cannot be written: nothing was sent": "无法写入 {}：没有发送任何请求",
        "{} was not written: {}": "{} 未能写入：{}",
        "Invalid value for {}:": "{} 的值有误：",
        "Missing argument {}.": "缺少参数 {}",
        "No such command {}.": "没有命令 {}",
        "No such command {}. Did you mean {}?": "没有命令 {}（相近的命令：{}）",
        "No such option: {} (Possible options: {})": "没有选项 {}（相近的选项：{}）",
        "No such option: {}": "没有选项 {}",
        "Option {} requires an argument.": "选项 {} 后面需要一个值",
        "Got unexpected extra argument(s) ({})": "多余的参数：{}",
        "Payment code": "付款码",
        "Secret key of merchant {}": "商户 {} 的 API 密钥",
        "Refund {} minor units of order {}?": "确认退款 {}（最小货币单位，订单 {}）吗？",
        "Charge {} for {!r} as {}?": "确认收款 {}（商品 {!r}，外部订单编号 {}）吗？",
        "this moves money: --yes is required where standard input is not a terminal": (
            "此操作涉及资金：标准输入不是终端时必须加 --yes"
        ),
        "not confirmed: nothing was sent": "未确认：没有发送任何请求",
        # Orders and refunds
        "The customer is typing a password.": "客户正在输入支付密码。",
        "MakeQROrder: the order exists, but nobody can pay it: {}": "MakeQROrder：订单已创建，但无法支付：{}",
        "accepted, but the money has not arrived yet: omipay refund-status {}": (
            "已受理，款项尚未到账：omipay refund-status {}"
        ),
        "nobody has its code, so nobody can pay it: make a new order under a new OUT_ORDER_NO": (
            "没有人拿到它的二维码，所以没有人能付款：请用新的 OUT_ORDER_NO 重新下单"
        ),
        "order {} exists and may still be paid: omipay query {} --wait": (
            "订单 {} 已创建，仍可能被支付：omipay query {} --wait"
        ),
        "do not scan again for this sale: only a notification or Omipay's back office shows whether it was paid": (
            "请勿对本笔交易再次扫码：只有通知或 Omipay 商户后台能说明是否已支付"
        ),
        "do not scan again for this sale, order {} may be paid: omipay query {} --wait": (
            "请勿对本笔交易再次扫码，订单 {} 可能已支付：omipay query {} --wait"
        ),
        "look it up in Omipay's back office; a person may repeat a full refund after some minutes, never a partial "
        "one": ("请在 Omipay 商户后台查明；全额退款可在几分钟后由人工再次申请，部分退款绝不可再次申请"),
        "the refund of order {} was accepted": "订单 {} 的退款已受理",
        "interrupted": "已中断",
        "interrupted: {}": "已中断：{}",
        "interrupted before anything was sent: no money moved": "在发送之前中断：资金没有变动",
        "interrupted before the gateway acted: no money moved": "在网关执行之前中断：资金没有变动",
        "interrupted during the call, and nobody knows whether the gateway acted: {}": (
            "在调用过程中断，无法确定网关是否已执行：{}"
        ),
        # Books
        "Calls whose result nobody knows: {}": "结果未知的调用：{} 笔",
        "Calls that are still under way, or that a crash has just cut off: {}": (
            "仍在进行、或刚因崩溃而中断的调用：{} 笔"
        ),
        "its program died or could not write": "程序已中断，或无法写入",
        "look again after {}": "请在 {} 之后再查看",
        "Orders that are not paid or not fulfilled yet: {}": "尚未支付或尚未处理的订单：{} 笔",
        "next query at {}": "下次查询 {}",
        "orders that could not be asked about: {}; the last one: {}": "未能查询的订单：{} 笔；最后一笔：{}",
        "--db or OMIPAY_BOOKS_URL must be the URL of the books, such as sqlite:///omipay.db": (
            "请用 --db 或 OMIPAY_BOOKS_URL 指明账本的位置，例如 sqlite:///omipay.db"
        ),
        "there is no file {}: go to the folder of your program, or give the whole path": (
            "没有文件 {}：请进入程序所在的文件夹，或填写完整路径"
        ),
        # The checks of doctor and verify
        "ok": "正常",
        "failed": "失败",
        "configuration": "配置",
        "notification": "通知",
        "clock": "时钟",
        "key": "密钥",
        "merchant {}, {}": "商户编号 {}，{}",
        "omipay --help lists the environment variables": "omipay --help 列出了环境变量",
        "set OMIPAY_NOTIFY_URL, or notify_url= of each order": "请设置 OMIPAY_NOTIFY_URL，或每个订单的 notify_url=",
        "set OMIPAY_NOTIFY_URL: --notify posts to it": "请设置 OMIPAY_NOTIFY_URL：--notify 会向它发送测试通知",
        "not set: the gateway sends no notifications of payments": "未设置：支付后网关不会通知任何人",
        "{} is this machine, which the gateway cannot reach": "{} 是本机地址，网关无法访问",
        "set OMIPAY_NOTIFY_URL to an address of your program that is reached from the internet": (
            "请把 OMIPAY_NOTIFY_URL 设为可从互联网访问的程序地址"
        ),
        "{}; --notify checks that your program answers there": "{}；用 --notify 检查您的程序是否在此应答",
        "there is no notify_url to post to": "没有可供发送测试通知的 notify_url",
        "nobody answers: {}": "没有应答：{}",
        "start your program, and check the address and the firewall; the gateway must reach it too": (
            "请启动您的程序，并检查地址和防火墙；网关也必须能访问该地址"
        ),
        "not checked: the environment sets a proxy for this address": "未检查：环境变量为该地址指定了代理",
        "{} is {}": "{} 的地址是 {}",
        "{} is not known": "无法解析 {}",
        "check OMIPAY_BASE_URL, this machine's network and its name server": (
            "请检查 OMIPAY_BASE_URL、本机网络和域名服务器"
        ),
        "the certificate there or those here are out of date, the connection is intercepted, or the clock is wrong": (
            "对方证书或本机 CA 证书已过期、连接被拦截，或时钟有误"
        ),
        "a firewall blocks it, or nothing listens there": "可能被防火墙阻止，或该端口没有程序监听",
        "large packets are lost on the way, or something in between answers in the server's place": (
            "途中可能丢失较大的数据包，或有中间设备代替服务器应答"
        ),
        "{}, port {}, accepts connections, but no TLS: {}": "{}，端口 {}，接受连接，但 TLS 无法建立：{}",
        "no connection to {}, port {}: {}": "无法连接 {}，端口 {}：{}",
        "no answer within {:g} s": "{:g} 秒内没有应答",
        "not needed: the address is on this machine": "不需要：地址在本机",
        "{}, certificate valid until {}": "{}，证书有效期至 {}",
        "not known: the gateway did not answer": "未知：网关没有返回结果",
        "not known: the reply has no Date header": "未知：返回结果没有 Date 头",
        "{:.0f} s behind the gateway's": "比网关时钟慢 {:.0f} 秒",
        "{:.0f} s ahead of the gateway's": "比网关时钟快 {:.0f} 秒",
        "let NTP set it: the gateway refuses calls when it is 5 minutes off": (
            "请用 NTP 校准：偏差达到 5 分钟时，网关会拒绝调用"
        ),
        "OMIPAY_SECRET_KEY is not this merchant's key: copy it again, without spaces or quotes": (
            "OMIPAY_SECRET_KEY 不是该商户的密钥：请重新复制，不要带空格或引号"
        ),
        "let NTP set this machine's clock": "请用 NTP 校准本机时钟",
        "OMIPAY_M_NUMBER is not a merchant's number: check its leading zeros": (
            "OMIPAY_M_NUMBER 不是有效的商户编号：请注意开头的零"
        ),
        "the merchant is disabled: ask Omipay": "商户已被禁用：请联系 Omipay",
        "OMIPAY_BASE_URL must end in /omipay/api; if it does, try again later": (
            "OMIPAY_BASE_URL 必须以 /omipay/api 结尾；如果已是如此，请稍后再试"
        ),
        "no usable answer: try again later": "没有可用的返回结果：请稍后再试",
        "accepted: 1 AUD = {:f} CNY": "有效：1 AUD = {:f} CNY",
        "accepted, although the gateway gave no rate: {}": "有效，但网关没有给出汇率：{}",
        "HTTP {}: {}": "HTTP {}：{}",
        "HTTP {}: a redirect": "HTTP {}：重定向",
        "the gateway may not follow redirects: set the final address": "网关可能不会跟随重定向：请填写最终地址",
        "HTTP 200 without SUCCESS: the gateway would deliver it again": "HTTP 200 但没有 SUCCESS：网关会再次发送通知",
        "answer as receive_notification does": "请按 receive_notification 的方式应答",
        "it answered SUCCESS to a payment that never happened: anybody who posts to this address can get goods": (
            "对从未发生的支付应答了 SUCCESS：任何人向该地址发送请求都能得到商品"
        ),
        "use receive_notification, which asks the gateway first": "请使用 receive_notification，它会先向网关查询",
        "your program asked the gateway, which has no such order, and rejected it: this is right": (
            "您的程序向网关查询，网关没有该订单，因此拒绝：这是正确的"
        ),
        "your program could not read the body": "您的程序无法读取通知正文",
        "pass on the body's bytes as they came": "请原样传入收到的正文字节",
        "the notify_url asks for a login": "notify_url 要求登录",
        "the gateway cannot log in: accept its requests without a login": "网关无法登录：请允许它免登录访问",
        "your program, or something in front of it, rejected the signature or the request": (
            "您的程序不接受该签名，或请求在到达程序之前被拒绝"
        ),
        "compare OMIPAY_SECRET_KEY here and there, and look for a CSRF check in front of the path": (
            "请比较两边的 OMIPAY_SECRET_KEY，并检查该路径是否有 CSRF 校验"
        ),
        "not found": "未找到",
        "POST is not allowed there": "该地址不允许 POST",
        "nothing answers at this path: compare it with the one of notification_route or notification_app": (
            "该路径没有程序应答：请与 notification_route 或 notification_app 的路径比较"
        ),
        "your program failed": "您的程序出错",
        "read its log: the traceback is there": "请查看它的日志，其中有错误堆栈",
        "your program could not ask the gateway, its backend or its journal": "您的程序无法访问网关、后端或账本",
        "read its log; the gateway would deliver the notification again": "请查看它的日志；网关会再次发送通知",
        "read your program's log": "请查看您的程序的日志",
        "body": "正文",
        "signature": "签名",
        "nonce": "随机字符串",
        "age": "时效",
        "a JSON object with what a notification must have": "JSON 对象，包含通知必有的字段",
        "made with this merchant's key": "使用该商户的密钥生成",
        "not one that this merchant issued": "不是该商户自己生成的",
        "signed a short while ago": "签名时间在允许范围内",
        "confirmed by the gateway:": "已向网关核实，查询结果：",
        "A valid signature does not prove a payment, since it does not cover the body. The gateway's answer does: "
        "--confirm": "签名有效不能证明已支付：签名不包含正文的任何内容。只有网关知道结果：请加 --confirm",
        "Paste the body, then press Ctrl-D (on Windows Ctrl-Z, then Enter):": (
            "请粘贴正文，然后按 Ctrl-D（在 Windows 上按 Ctrl-Z，再按回车）："
        ),
        # The sandbox
        "The sandbox is at {} (open it in a browser) until you press Ctrl-C. No real money moves here.": (
            "沙箱地址：{}（请在浏览器中打开），按 Ctrl-C 停止。此处不涉及真实资金。"
        ),
        "# OMIPAY_SECRET_KEY keeps the value that it has in this environment": (
            "# OMIPAY_SECRET_KEY 沿用当前环境变量的值"
        ),
        "OMIPAY_NOTIFY_URL is the address at which your program receives notifications: put its own port and path "
        "there.": "OMIPAY_NOTIFY_URL 是您的程序接收支付通知的地址：请改成您的程序的端口和路径。",
        "Orders without a notify_url can be paid too, but no notification is sent.": (
            "没有 notify_url 的订单照样可以支付，但不会通知任何人。"
        ),
        "A program on another machine needs TLS or a tunnel (ssh -L) to the sandbox: it speaks plain http to its own "
        "machine only.": "其他机器上的程序需要通过 TLS 或隧道（ssh -L）访问沙箱：明文 http 只能用于本机。",
        "With these in another terminal:": "在另一个终端设置上述变量后：",
        "then press Pay in the browser": "然后在浏览器中按“支付”",
        "--host {} lets other machines in, and the sandbox has no password: add --allow-remote if you want this": (
            "--host {} 允许其他机器访问，而沙箱没有密码：如确有需要，请加 --allow-remote"
        ),
        "{}, port {} cannot be listened on: {}; --port 0 takes any free one": (
            "无法监听 {}，端口 {}：{}；--port 0 会选用任一空闲端口"
        ),
        "--use-env-credentials: {} must be set": "--use-env-credentials：必须设置 {}",
        # The demonstration
        "A shop against the embedded sandbox: no network, and no real money. Its clock jumps over every wait.\n": (
            "商店连接内置沙箱：不联网，不涉及真实资金。演示时钟会跳过所有等待时间。\n"
        ),
        "           ... {} later ...": "           …… {}后 ……",
        "handler: {} is paid, {}: goods are shipped": "处理函数：{} 已支付，{}：发货",
        "confirmed by QueryOrder, and the handler ran": "已用 QueryOrder 核实，处理函数已执行",
        "the handler had run before, and was not run again": "处理函数此前已执行，不再重复执行",
        "notification: {}; answered {}": "支付通知：{}；应答 {}",
        "MakeQROrder: order {}, {}; its code is shown:": "MakeQROrder：订单 {}，{}；显示二维码：",
        "customer: scans the code": "客户：扫描二维码",
        "customer: pays": "客户：付款",
        "MakeScanOrder: USERPAYING, {}: the customer types a password": (
            "MakeScanOrder：USERPAYING，{}：客户正在输入支付密码"
        ),
        "paid: {} as {}": "已支付：{}，客户实付 {}",
        "Refund: {}, {} of it, accepted": "Refund：{}，部分退款 {}，已受理",
        "QueryOrder: {}": "QueryOrder：{}",
        "QueryRefund: {}{}": "QueryRefund：{}{}",
        ": the refund was requested": "：已申请退款",
        ": the merchant agreed": "：商户已确认",
        ": WeChat confirmed the request": "：微信已确认申请",
        ": WeChat reports that it has paid the money back": "：微信表示已退回款项",
        ": the money has arrived": "：款项已到账",
        "books: the next charge is written down before it is sent": "账本：下一笔收款在发送前先记录",
        "MakeScanOrder: the reply was lost ({}). Nobody knows whether the customer was charged": (
            "MakeScanOrder：返回结果丢失（{}）。无法确定客户是否已被扣款"
        ),
        "crash: the program of the till ends here, and starts again": "崩溃：收银程序在此退出，随后重新启动",
        "books: {} unresolved: {} {}, {}, {}. Do not scan again for this sale": (
            "账本：{} 笔结果未知：{} {}，{}，{}。请勿对本笔交易再次扫码"
        ),
        "books: {} unresolved: {} is known to be paid, and its goods were shipped once": (
            "账本：{} 笔结果未知：已确认 {} 支付成功，且只发货一次"
        ),
        "\nThe gateway's ledger: {} paid, {} of it refunded.": "\n网关账目：已支付 {}，其中退款 {}。",
        "{} passed on the demo's clock, {:.1f} seconds on yours.": "演示时钟经过 {}，实际用时 {:.1f} 秒。",
        "the demo did not end as expected: {}": "演示结果与预期不符：{}",
    }
)
